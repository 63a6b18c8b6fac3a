"""Rooms as messages: edgevl/RoomMap, a picture, and names for rviz."""

import math
from collections.abc import Iterable

from edgevl.msg import Room as RoomMessage
from geometry_msgs.msg import Point, Point32, Polygon
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from edgevl_core.draw.floor import COLOURS, draw_floor
from edgevl_core.room_map.room_map import RoomMap
from edgevl_core.room_map.rooms import UNKNOWN, Room
from edgevl_ros.node.images import cv2_to_imgmsg

MAX_PIXELS = 4_000_000
NAME_M, LINE_M = 0.35, 0.05  # height of letters, width of outlines


def to_room(room: Room) -> RoomMessage:
    """edgevl/Room."""
    points = [Point32(x=x, y=y) for x, y in room.polygon_m.tolist()]
    return RoomMessage(
        id=room.id,
        label=room.label,
        probability=float(room.probability),
        known=room.named_by_owner or room.label != UNKNOWN,
        named_by_owner=room.named_by_owner,
        area_m2=float(room.area_m2),
        inside=Point(x=room.pose_m[0], y=room.pose_m[1]),
        polygon=Polygon(points=points),
    )


def to_picture(rooms: RoomMap, header: Header) -> Image:
    """The labelled map, rgb8, y up: four pixels a cell, or fewer where the map is large."""
    numbers, _ = rooms.numbers()
    scale = min(4, max(1, int(math.sqrt(MAX_PIXELS / numbers.size))))
    message = cv2_to_imgmsg(draw_floor(numbers, rooms.occupied, rooms.rooms(), scale=scale), "rgb8")
    message.header = header
    return message


def to_markers(rooms: Iterable[Room], header: Header) -> MarkerArray:
    """A name and an outline for each room; those of earlier ones are deleted."""
    array = MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
    for index, room in enumerate(rooms):
        red, green, blue = (part / 255 for part in COLOURS[index % len(COLOURS)])
        line = Marker(header=header, ns="outline", id=room.id, type=Marker.LINE_STRIP, action=Marker.ADD)
        line.pose.orientation.w = 1.0
        line.scale.x = LINE_M
        line.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        ring = [Point(x=x, y=y) for x, y in room.polygon_m.tolist()]
        line.points = [*ring, *ring[:1]]
        name = Marker(header=header, ns="name", id=room.id, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD)
        name.pose.position.x, name.pose.position.y, name.pose.position.z = *room.pose_m, NAME_M
        name.pose.orientation.w = 1.0
        name.scale.z = NAME_M
        name.color = ColorRGBA(r=0.1, g=0.1, b=0.1, a=1.0)
        name.text = room.label if room.probability in (0.0, 1.0) else f"{room.label} {room.probability:.0%}"
        array.markers += [line, name]
    return array
