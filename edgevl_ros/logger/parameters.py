"""pair_logger's parameters, and what of them does not go together."""

from dataclasses import dataclass
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.place_messages import ODOMETRY, POSE, POSE_WITH_COVARIANCE
from edgevl_ros.node.parameters import parameter
from edgevl_ros.node.qos import StreamParameters
from edgevl_ros.node.transforms import TRANSFORMS

COMPRESSED = "compressed"
# Of transforms the camera's own pose is logged, on a topic of its own.
POSE_TYPES = {
    "PoseStamped": POSE,
    "PoseWithCovarianceStamped": POSE_WITH_COVARIANCE,
    "Odometry": ODOMETRY,
    TRANSFORMS: POSE,
}
CAMERA_POSE_TOPIC = "camera_pose"


@dataclass(frozen=True)
class LoggerParameters(StreamParameters):
    """pair_logger's parameters."""

    rgb_topic: str = parameter("camera/rgb/image_raw", "RGB; CompressedImage where it ends in /compressed")
    depth_topic: str = parameter("camera/depth/image_raw", "depth, as above; also /compressedDepth")
    camera_info_topic: str = parameter("camera/rgb/camera_info", "of the RGB camera; empty: not logged")
    depth_camera_info_topic: str = parameter(
        "", "of the depth camera, to say whether depth is registered; empty: not logged"
    )
    truth_topic: str = parameter("", "edgevl/SceneTruth, for evaluation only; empty: not logged")
    odometry_topic: str = parameter(
        "", "nav_msgs/Odometry for min_distance_m and min_turn_rad; not logged; empty: none"
    )
    pose_topic: str = parameter("", "where the robot is on its map, for `edgevl map` of the log; empty: not logged")
    pose_type: str = parameter(
        "PoseStamped",
        f"type of pose_topic; {TRANSFORMS}: pose_topic is /tf, and where it has the camera is logged as "
        f"{CAMERA_POSE_TOPIC}",
        choices=tuple(POSE_TYPES),
    )
    scene_topic: str = parameter(
        "", "edgevl/SceneClass, to count kept pairs by scene in ~/stats; not logged; empty: none"
    )
    directory: str = parameter("pair_logs", "where logs are made; also the place for the free-space floor")
    name: str = parameter("", "name of the log inside the directory; empty: pairs_<UTC date and time>")
    log_on_activate: bool = parameter(True, "start logging at once; false: wait for ~/start")
    log_images: str = parameter(
        "as_received",
        "as_received: the bytes that came; compressed: raw images as JPEG of quality 95 and depth as 16-bit PNG in "
        "millimetres, on topics named as image_transport would (.../compressed, .../compressedDepth)",
        choices=("as_received", COMPRESSED),
    )
    log_scale: float = parameter(1.0, "privacy: images are reduced by this before they are written", low=0.01, high=1.0)
    depth_only: bool = parameter(
        False,
        "privacy: RGB is neither subscribed to nor written, every depth image is a pair of its own. Such a log shows "
        "where the robot was, but cannot be adapted from: the teacher sees RGB",
    )
    max_skew_s: float = parameter(0.02, "largest difference of stamps within a pair", low=0.0, high=1.0)
    min_interval_s: float = parameter(0.0, "keep at most one pair in this time; 0: no limit", low=0.0, high=3600.0)
    min_distance_m: float = parameter(0.0, "least way from the last kept pair's place; 0: any", low=0.0, high=1000.0)
    min_turn_rad: float = parameter(
        0.0, "least turn, or with min_distance_m either of them; 0: any", low=0.0, high=3.14
    )
    min_novelty: float = parameter(0.0, "least change against the last kept pair; 0: any", low=0.0, high=1.0)
    min_sharpness: float = parameter(0.0, "least variance of the Laplacian; 0: any", low=0.0, high=1.0e5)
    min_brightness: float = parameter(0.0, "least mean grey level; 0: any", low=0.0, high=255.0)
    min_depth_valid: float = parameter(0.0, "least share of measured depth pixels; 0: any", low=0.0, high=1.0)
    max_segment_mb: float = parameter(256.0, "size at which the bag starts a new segment", low=1.0, high=65536.0)
    max_segment_s: float = parameter(300.0, "age at which the bag starts a new segment", low=1.0, high=86400.0)
    max_total_mb: float = parameter(
        0.0,
        "budget of all logs in the directory: the oldest closed logs are removed to stay within it, and a log of "
        "half the budget is closed and a new one begun; 0: no budget, nothing is removed",
        low=0.0,
        high=1.0e8,
    )
    sync_interval_s: float = parameter(2.0, "how much a power cut may cost", low=0.0, high=600.0)
    min_free_mb: float = parameter(500.0, "free disk space below which nothing is written", low=0.0, high=1.0e6)
    compression: str = parameter(
        "zstd",
        "of the bag's chunks: zstd is smallest, lz4 a third less work, none for topics that are compressed",
        choices=("zstd", "lz4", "none"),
    )
    queue_length: int = parameter(200, "messages that may wait for the disk", low=10, high=100000)
    queue_mb: float = parameter(100.0, "what these may hold; a message alone may always wait", low=1.0, high=65536.0)


STREAMS = ("rgb", "depth", "camera_info", "depth_camera_info", "truth", "odometry", "pose", "scene")
KEEP_RULES = (
    "min_interval_s",
    "min_distance_m",
    "min_turn_rad",
    "min_novelty",
    "min_sharpness",
    "min_brightness",
    "min_depth_valid",
)
RGB_RULES = ("min_sharpness", "min_brightness")
MOTION_RULES = ("min_distance_m", "min_turn_rad")
# What a segment may hold beyond its limit: the chunk in progress and its index.
SEGMENT_SLACK_MB = 2.0


def check(parameters: LoggerParameters) -> None:
    """Refuse what contradicts itself.

    Raises:
        UserError: the first contradiction.
    """
    name = parameters.name
    if name and (name != Path(name).name or name != name.strip() or name.startswith(".")):
        raise UserError(
            f"parameter name = {name!r}: accepted: the name of a folder inside directory, which does not begin with '.'"
        )
    depth_only = parameters.depth_only
    for name in ("depth_topic",) if depth_only else ("rgb_topic", "depth_topic"):
        if not getattr(parameters, name):
            raise UserError(f"parameter {name} is empty: pair_logger needs an RGB and a depth topic")
    for rule in RGB_RULES:
        if depth_only and getattr(parameters, rule):
            raise UserError(
                f"parameter {rule} = {getattr(parameters, rule):g} judges RGB, depth_only leaves it out: set it to 0.0"
            )
    for rule in MOTION_RULES:
        if getattr(parameters, rule) and not parameters.odometry_topic:
            raise UserError(
                f"parameter {rule} = {getattr(parameters, rule):g} needs a pose: set odometry_topic, or {rule} to 0.0"
            )
    least_mb = 4 * (parameters.max_segment_mb + SEGMENT_SLACK_MB)
    if 0 < parameters.max_total_mb < least_mb:
        raise UserError(
            f"parameter max_total_mb = {parameters.max_total_mb:g} is too small for max_segment_mb = "
            f"{parameters.max_segment_mb:g}: give at least {least_mb:g}, or 0.0 for no budget, or smaller segments"
        )


def topics(parameters: LoggerParameters) -> dict[str, str]:
    """The topics that are subscribed to, by stream: those that have a name and that depth_only does not leave out."""
    left_out = ("rgb", "camera_info") if parameters.depth_only else ()
    named = {stream: str(getattr(parameters, f"{stream}_topic")) for stream in STREAMS if stream not in left_out}
    return {stream: topic for stream, topic in named.items() if topic}
