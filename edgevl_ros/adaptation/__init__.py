"""The parts of adaptation_manager that speak ROS: its parameters, what it hears, the bundle handed over."""
