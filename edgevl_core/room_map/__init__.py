"""Rooms on a map: what a robot's frames say of the places they show, as rooms with names. No ROS.

``occupancy``: the map as nav2 has it. ``segmentation``: its free space as rooms, split at doors. ``view``: which cells
a frame shows. ``evidence``: what was seen there. ``rooms``: rooms with names. ``room_map``: all of it together.
``files``: kept, and written for nav2.
"""
