"""What belongs in which room: sizes and furniture, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edgevl_sim.furniture import bathroom, bedroom, common, dining, hallway, kitchen, laundry, living, office
from edgevl_sim.palette import Style
from edgevl_sim.parts import Parts

ROOMS = (
    "kitchen",
    "bathroom",
    "bedroom",
    "living room",
    "dining room",
    "office",
    "hallway",
    "laundry room",
)


class Piece(NamedTuple):
    """One thing to put into a room.

    where: "wall" (somewhere along a wall), "beside" (next to the piece before it), "opposite" (the wall across
    from the first piece), "before" (in front of the first piece), "centre", "free" (in the open floor),
    "hang" (on a wall), "flat" (on the floor), "above" (over the first piece).
    p: how often it is there. telling: how much it says about which room this is, 0 to 1
    (a plant says little); the robot looks around by it.
    """

    build: Callable[[Style], Parts]
    where: str = "wall"
    p: float = 1.0
    telling: float = 1.0


class Plan(NamedTuple):
    """A kind of room. Sizes are ranges in metres; tiled is how often its floor and walls are tiled."""

    width_m: tuple[float, float]
    length_m: tuple[float, float]
    pieces: tuple[Piece, ...]
    doors: tuple[int, int] = (1, 2)
    windows: tuple[int, int] = (0, 2)
    floor_tiled: float = 0.3
    wall_tiled: float = 0.0


DISTRACTORS = (
    Piece(common.plant, "free", telling=0.2),
    Piece(common.chair, "free", telling=0.2),
    Piece(common.cupboard, "wall", telling=0.2),
    Piece(common.open_shelf, "wall", telling=0.2),
    Piece(common.cartons, "wall", telling=0.2),
    Piece(common.stool, "free", telling=0.2),
    Piece(common.bin_, "free", telling=0.2),
)

PLANS: dict[str, Plan] = {
    "kitchen": Plan(
        (2.8, 3.8),
        (3.0, 4.2),
        (
            Piece(kitchen.main_run),
            Piece(kitchen.fridge, "beside", telling=0.5),
            Piece(kitchen.short_run, "wall", 0.7, telling=0.5),
            Piece(kitchen.breakfast_table, "free", 0.5, telling=0.3),
        ),
        floor_tiled=0.6,
        wall_tiled=0.15,
    ),
    "bathroom": Plan(
        (2.3, 3.0),
        (2.5, 3.4),
        (
            Piece(bathroom.bathing),
            Piece(bathroom.toilet),
            Piece(bathroom.washbasin),
            Piece(bathroom.shower, p=0.3, telling=0.5),
            Piece(bathroom.towel_radiator, p=0.8, telling=0.4),
            Piece(bathroom.scales_and_basket, p=0.4, telling=0.2),
            Piece(bathroom.bath_mat, "flat", 0.6),
        ),
        doors=(1, 1),
        windows=(0, 1),
        floor_tiled=0.8,
        wall_tiled=0.9,
    ),
    "bedroom": Plan(
        (3.1, 4.1),
        (3.4, 4.5),
        (
            Piece(bedroom.bed),
            Piece(bedroom.wardrobe, telling=0.2),
            Piece(bedroom.dresser, p=0.6, telling=0.3),
            Piece(bedroom.bed_bench, p=0.3, telling=0.3),
            Piece(common.floor_rug, "flat", 0.4, telling=0.2),
        ),
        doors=(1, 1),
        windows=(1, 2),
        floor_tiled=0.1,
    ),
    "living room": Plan(
        (3.6, 4.8),
        (3.9, 5.2),
        (
            Piece(living.sofa),
            Piece(living.television, "opposite"),
            Piece(living.coffee_table, "before"),
            Piece(living.armchair, "free", 0.75, telling=0.7),
            Piece(common.standing_lamp, "free", 0.5, telling=0.2),
            Piece(common.floor_rug, "flat", 0.7, telling=0.2),
            Piece(common.plant, "free", 0.6, telling=0.2),
        ),
        windows=(1, 2),
        floor_tiled=0.15,
    ),
    "dining room": Plan(
        (3.5, 4.4),
        (3.8, 4.8),
        (
            Piece(dining.dining_set, "centre"),
            Piece(dining.table_lamp, "above", 0.8, telling=0.5),
            Piece(dining.sideboard, p=0.7, telling=0.4),
            Piece(dining.glass_cabinet, p=0.6, telling=0.4),
            Piece(common.floor_rug, "flat", 0.3, telling=0.2),
        ),
        windows=(1, 2),
        floor_tiled=0.2,
    ),
    "office": Plan(
        (2.9, 3.9),
        (3.1, 4.2),
        (
            Piece(office.desk_set),
            Piece(office.book_shelf, telling=0.6),
            Piece(office.book_shelf, p=0.5, telling=0.5),
            Piece(office.filing_cabinet, p=0.8, telling=0.5),
            Piece(office.whiteboard, "hang", 0.5),
            Piece(common.floor_rug, "flat", 0.2, telling=0.2),
        ),
        windows=(1, 2),
        floor_tiled=0.15,
    ),
    "hallway": Plan(
        (1.5, 2.0),
        (4.2, 6.2),
        (
            Piece(hallway.coat_rack),
            Piece(hallway.shoe_rack, p=0.9),
            Piece(hallway.bench, p=0.6, telling=0.6),
            Piece(hallway.long_mirror, p=0.6, telling=0.4),
            Piece(hallway.console, p=0.5, telling=0.4),
            Piece(hallway.umbrella_stand, p=0.6),
            Piece(hallway.coat_rack, p=0.4),
            Piece(hallway.runner, "flat", 0.5, telling=0.2),
        ),
        doors=(3, 4),
        windows=(0, 0),
        floor_tiled=0.35,
    ),
    "laundry room": Plan(
        (2.4, 3.2),
        (2.6, 3.6),
        (
            Piece(laundry.machines),
            Piece(laundry.drying_rack, "free", 0.8),
            Piece(laundry.ironing_board, "free", 0.6),
            Piece(laundry.basket, "wall"),
            Piece(laundry.basket, "beside", 0.5),
            Piece(laundry.boiler, p=0.35, telling=0.2),
            Piece(laundry.deep_sink, p=0.5, telling=0.3),
        ),
        doors=(1, 1),
        windows=(0, 1),
        floor_tiled=0.7,
        wall_tiled=0.3,
    ),
}
