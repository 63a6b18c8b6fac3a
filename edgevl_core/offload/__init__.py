"""One student on two machines: the front half runs on the robot, the back half on a base station while that answers.

manifest: what a cut student's directory holds; halves: both networks, opened and tested; tensor: what travels; link:
whether the base station is asked; student: the whole as the robot's classifier runs it.
"""
