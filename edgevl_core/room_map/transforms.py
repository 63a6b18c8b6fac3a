"""Where a camera was on the map, from transforms: REP 105's chain map -> odom -> base_link -> camera."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import deserialize, header_stamp_ns
from edgevl_core.room_map.view import Stand

TF = "tf2_msgs/msg/TFMessage"
TF_TOPIC, MAP_FRAME = "tf", "map"
STATIC_SUFFIX = "_static"
MAX_GAP_NS = 1_000_000_000  # between two transforms that are farther apart nothing is known
MEMORY_NS = 5_000_000_000  # of what comes live; localisation may date its transform a second ahead
MOST_KEPT = 5_000  # of one frame's, for stamps that stand still
Matrices = NDArray[np.float64]  # (N, 4, 4)


@dataclass
class _Edge:
    """A frame in its parent's frame: stamps in nanoseconds, and x, y, z, qx, qy, qz, qw of each."""

    parent: str
    static: bool
    stamp_ns: list[int] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)


def camera_track(reader: BagReader, camera_frame: str) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Stamps (N,) and (N, 3) x, y, yaw of the direction in which a camera looks, on the map; None without transforms.

    A transform is interpolated between its two neighbours, as tf2 does it. A camera looks along its z axis where that
    is level (an optical frame, REP 103), otherwise along x.

    Args:
        camera_frame: frame_id of its images.

    Raises:
        UserError: there are transforms, but no chain from the map to the camera, or never all of it at one time.
    """
    topics = [name for name, topic in reader.topics.items() if topic.msgtype == TF and topic.count]
    if not topics:
        return None
    edges: dict[str, _Edge] = {}
    for message in reader.messages(topics):
        static = message.topic.endswith(STATIC_SUFFIX)
        for transform in deserialize(message.data, message.msgtype).transforms:
            _put(edges, transform, static=static)
    chain, moving = _chain_to(edges, camera_frame)
    stamps = np.unique(np.array(max(moving, key=lambda edge: len(edge.stamp_ns)).stamp_ns, np.int64))
    known, poses = _poses(chain, stamps)
    if not known.any():
        raise UserError(f"the transforms from {MAP_FRAME} to {camera_frame} are never known all at one time")
    return stamps[known], poses[known]


class LiveTransforms:
    """The transforms of the last seconds, as they come. A clock that is set back by more than a second begins anew."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}
        self._told_ns = -1

    def add(self, transforms: Iterable[Any], *, static: bool) -> None:
        """The geometry_msgs/TransformStamped of one message; ``static``: they hold at any time."""
        for transform in transforms:
            edge = _put(self._edges, transform, static=static)
            stamp_ns, newest_ns = edge.stamp_ns[-1], max(edge.stamp_ns)
            if static or stamp_ns < newest_ns - MAX_GAP_NS:
                del edge.stamp_ns[:-1], edge.rows[:-1]
                self._told_ns = min(self._told_ns, stamp_ns)
            elif newest_ns - edge.stamp_ns[0] > 2 * MEMORY_NS or len(edge.stamp_ns) > MOST_KEPT:
                old = max(sum(stamp < newest_ns - MEMORY_NS for stamp in edge.stamp_ns), len(edge.stamp_ns) - MOST_KEPT)
                del edge.stamp_ns[:old], edge.rows[:old]

    def newest(self, camera_frame: str) -> tuple[int, Stand] | None:
        """The last stamp for which all is known, and where the camera is then; each stamp is told once.

        Raises:
            UserError: no chain leads from the map to the camera.
        """
        chain, moving = _chain_to(self._edges, camera_frame)
        stamp_ns = min(max(edge.stamp_ns) for edge in moving)
        if stamp_ns <= self._told_ns:
            return None
        known, poses = _poses(chain, np.array([stamp_ns], np.int64))
        if not known[0]:
            return None
        self._told_ns = stamp_ns
        return stamp_ns, Stand(*map(float, poses[0]))

    def rare(self, camera_frame: str) -> str:
        """The first transform of the chain that comes so rarely that nothing is known in between; empty: none does.

        Raises:
            UserError: no chain leads from the map to the camera.
        """
        for edge, child in _named(_chain_to(self._edges, camera_frame)[1], self._edges):
            newest_ns = sorted({*edge.stamp_ns})[-2:]
            if newest_ns[-1] - newest_ns[0] > MAX_GAP_NS:
                gap_s = (newest_ns[-1] - newest_ns[0]) * 1e-9
                return f"{edge.parent} -> {child} comes only every {gap_s:.1f} s: once a second is needed"
        return ""

    def behind(self, camera_frame: str) -> str:
        """Which transform of the chain has the oldest newest stamp, and by how much; empty: they are of one time.

        Raises:
            UserError: no chain leads from the map to the camera.
        """
        newest = [
            (max(edge.stamp_ns), f"{edge.parent} -> {child}")
            for edge, child in _named(_chain_to(self._edges, camera_frame)[1], self._edges)
        ]
        (old_ns, old), (new_ns, new) = min(newest), max(newest)
        return f"{old} is {(new_ns - old_ns) * 1e-9:.1f} s older than {new}" if new_ns - old_ns > MAX_GAP_NS else ""


def _put(edges: dict[str, _Edge], transform: Any, *, static: bool) -> _Edge:
    """A geometry_msgs/TransformStamped into the edge of its child."""
    child, parent = transform.child_frame_id.strip("/"), transform.header.frame_id.strip("/")
    edge = edges.get(child)
    if edge is None or edge.parent != parent:
        edge = edges[child] = _Edge(parent, static)
    move, turn = transform.transform.translation, transform.transform.rotation
    edge.stamp_ns.append(header_stamp_ns(transform))
    edge.rows.append((move.x, move.y, move.z, turn.x, turn.y, turn.z, turn.w))
    return edge


def _named(moving: Iterable[_Edge], edges: Mapping[str, _Edge]) -> Iterator[tuple[_Edge, str]]:
    """Each edge with its child."""
    children = {id(edge): child for child, edge in edges.items()}
    return ((edge, children[id(edge)]) for edge in moving)


def _poses(chain: Iterable[_Edge], stamps: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(N,) whether the whole chain is known at each stamp; (N, 3) x, y, yaw of where the camera looks, valid there."""
    whole = np.broadcast_to(np.eye(4), (len(stamps), 4, 4)).copy()
    known = np.ones(len(stamps), np.bool_)
    for edge in chain:
        matrices, there = _at(edge, stamps)
        whole, known = whole @ matrices, known & there
    optical = np.hypot(whole[:, 0, 2], whole[:, 1, 2]) > 0.5
    ahead = np.where(optical[:, None], whole[:, :3, 2], whole[:, :3, 0])
    return known, np.column_stack([whole[:, 0, 3], whole[:, 1, 3], np.arctan2(ahead[:, 1], ahead[:, 0])])


def _chain_to(edges: Mapping[str, _Edge], camera_frame: str) -> tuple[list[_Edge], list[_Edge]]:
    """The edges from the map down to a camera, and those of them that move."""
    chain = _chain(edges, camera_frame.strip("/"))
    moving = [edge for edge in chain if not edge.static]
    if not moving:
        raise UserError(f"the transforms from {MAP_FRAME} to {camera_frame} are all static: record /tf as well")
    return chain, moving


def _chain(edges: Mapping[str, _Edge], frame: str) -> list[_Edge]:
    """The edges from the map down to ``frame``."""
    chain: list[_Edge] = []
    at = frame
    while at != MAP_FRAME:
        if at not in edges or len(chain) > len(edges):
            raise UserError(
                f"no transforms lead from {MAP_FRAME} to the camera's frame {frame}: they end at {at!r}; frames are "
                f"{', '.join(sorted({*edges, *(edge.parent for edge in edges.values())}))}"
            )
        chain.insert(0, edges[at])
        at = edges[at].parent
    return chain


def _at(edge: _Edge, stamps: NDArray[np.int64]) -> tuple[Matrices, NDArray[np.bool_]]:
    """The transform at each stamp, and whether it is known there."""
    own, order = np.unique(np.array(edge.stamp_ns, np.int64), return_index=True)
    rows = np.array(edge.rows, np.float64)[order]
    if edge.static:
        return _matrices(np.broadcast_to(rows[-1], (len(stamps), 7))), np.ones(len(stamps), np.bool_)
    after = np.clip(np.searchsorted(own, stamps), 0, len(own) - 1)
    before = np.where(own[after] == stamps, after, np.maximum(after - 1, 0))
    span = own[after] - own[before]
    known = (own[before] <= stamps) & (stamps <= own[after]) & (span <= MAX_GAP_NS)
    share = np.divide(stamps - own[before], span, out=np.zeros(len(stamps)), where=span > 0)[:, None]
    a, b = rows[before], rows[after].copy()
    b[:, 3:] *= np.where((a[:, 3:] * b[:, 3:]).sum(1, keepdims=True) < 0, -1.0, 1.0)  # the shorter way round
    return _matrices((1 - share) * a + share * b), known


def _matrices(rows: NDArray[np.float64]) -> Matrices:
    """(N, 4, 4) of (N, 7) translations and quaternions; these need not be of length 1."""
    x, y, z, w = (rows[:, 3:] / np.linalg.norm(rows[:, 3:], axis=1, keepdims=True).clip(min=1e-12)).T
    found = np.zeros((len(rows), 4, 4))
    found[:, 0, :3] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], 1)
    found[:, 1, :3] = np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], 1)
    found[:, 2, :3] = np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], 1)
    found[:, :3, 3], found[:, 3, 3] = rows[:, :3], 1.0
    return found
