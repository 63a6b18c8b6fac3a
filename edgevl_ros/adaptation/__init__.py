"""The parts of adaptation_manager: when, where and how to adapt, and whether the result is used."""
