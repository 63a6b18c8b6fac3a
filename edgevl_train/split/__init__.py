"""A student's ONNX file in two: the robot runs the front, a base station the rest."""
