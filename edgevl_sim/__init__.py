"""Procedural apartments for people without a robot: RGB, metric depth and the true room, as rosbag2."""

from edgevl_sim.bag import BagSummary, write_bag
from edgevl_sim.drive import Frame, drive
from edgevl_sim.plans import ROOMS
from edgevl_sim.seeds import home_name, home_seed

__all__ = ["ROOMS", "BagSummary", "Frame", "drive", "home_name", "home_seed", "write_bag"]
