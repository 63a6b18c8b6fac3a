"""pair_logger's parameters, and what of them does not go together."""

from typing import Any

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.place_messages import ODOMETRY, POSE, POSE_WITH_COVARIANCE
from edgevl_ros.node.parameters import Parameter
from edgevl_ros.node.qos import SUBSCRIPTION_QOS

COMPRESSED = "compressed"
POSE_TYPES = {"PoseStamped": POSE, "PoseWithCovarianceStamped": POSE_WITH_COVARIANCE, "Odometry": ODOMETRY}
PARAMETERS = (
    Parameter("rgb_topic", "camera/rgb/image_raw", "RGB; CompressedImage where it ends in /compressed"),
    Parameter("depth_topic", "camera/depth/image_raw", "depth, as above; also /compressedDepth"),
    Parameter("camera_info_topic", "camera/rgb/camera_info", "of the RGB camera; empty: not logged"),
    Parameter(
        "depth_camera_info_topic", "", "of the depth camera, to say whether depth is registered; empty: not logged"
    ),
    Parameter("truth_topic", "", "edgevl/SceneTruth, for evaluation only; empty: not logged"),
    Parameter("odometry_topic", "", "nav_msgs/Odometry for min_distance_m and min_turn_rad; not logged; empty: none"),
    Parameter("pose_topic", "", "where the robot is on its map, for `edgevl map` of the log; empty: not logged"),
    Parameter("pose_type", "PoseStamped", "type of pose_topic", choices=tuple(POSE_TYPES)),
    Parameter("scene_topic", "", "edgevl/SceneClass, to count kept pairs by scene in ~/stats; not logged; empty: none"),
    Parameter("directory", "pair_logs", "where logs are made; also the place for the free-space floor"),
    Parameter("name", "", "name of the log inside the directory; empty: pairs_<UTC date and time>"),
    Parameter("log_on_activate", True, "start logging at once; false: wait for ~/start"),
    Parameter(
        "log_images",
        "as_received",
        "as_received: the bytes that came; compressed: raw images as JPEG of quality 95 and depth as 16-bit PNG in "
        "millimetres, on topics named as image_transport would (.../compressed, .../compressedDepth)",
        choices=("as_received", COMPRESSED),
    ),
    Parameter("log_scale", 1.0, "privacy: images are reduced by this before they are written", low=0.01, high=1.0),
    Parameter(
        "depth_only",
        False,
        "privacy: RGB is neither subscribed to nor written, every depth image is a pair of its own. Such a log shows "
        "where the robot was, but cannot be adapted from: the teacher sees RGB",
    ),
    Parameter("max_skew_s", 0.02, "largest difference of stamps within a pair", low=0.0, high=1.0),
    Parameter("min_interval_s", 0.0, "keep at most one pair in this time; 0: no limit", low=0.0, high=3600.0),
    Parameter("min_distance_m", 0.0, "least way from the last kept pair's place; 0: any", low=0.0, high=1000.0),
    Parameter("min_turn_rad", 0.0, "least turn, or with min_distance_m either of them; 0: any", low=0.0, high=3.14),
    Parameter("min_novelty", 0.0, "least change against the last kept pair; 0: any", low=0.0, high=1.0),
    Parameter("min_sharpness", 0.0, "least variance of the Laplacian; 0: any", low=0.0, high=1.0e5),
    Parameter("min_brightness", 0.0, "least mean grey level; 0: any", low=0.0, high=255.0),
    Parameter("min_depth_valid", 0.0, "least share of measured depth pixels; 0: any", low=0.0, high=1.0),
    Parameter("max_segment_mb", 256.0, "size at which the bag starts a new segment", low=1.0, high=65536.0),
    Parameter("max_segment_s", 300.0, "age at which the bag starts a new segment", low=1.0, high=86400.0),
    Parameter(
        "max_total_mb",
        0.0,
        "budget of all logs in the directory: the oldest closed logs are removed to stay within it, and a log of "
        "half the budget is closed and a new one begun; 0: no budget, nothing is removed",
        low=0.0,
        high=1.0e8,
    ),
    Parameter("sync_interval_s", 2.0, "how much a power cut may cost", low=0.0, high=600.0),
    Parameter("min_free_mb", 500.0, "free disk space below which nothing is written", low=0.0, high=1.0e6),
    Parameter(
        "compression",
        "zstd",
        "of the bag's chunks: zstd is smallest, lz4 a third of its work, none for topics that are compressed",
        choices=("zstd", "lz4", "none"),
    ),
    Parameter("queue_length", 200, "messages that may wait for the disk", low=10, high=100000),
    *SUBSCRIPTION_QOS,
)
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


def check(values: dict[str, Any]) -> None:
    """Refuse what contradicts itself.

    Raises:
        UserError: the first contradiction.
    """
    depth_only = values["depth_only"]
    for name in ("depth_topic",) if depth_only else ("rgb_topic", "depth_topic"):
        if not values[name]:
            raise UserError(f"parameter {name} is empty: pair_logger needs an RGB and a depth topic")
    for rule in RGB_RULES:
        if depth_only and values[rule]:
            raise UserError(f"parameter {rule} = {values[rule]:g} judges RGB, depth_only leaves it out: set it to 0.0")
    for rule in MOTION_RULES:
        if values[rule] and not values["odometry_topic"]:
            raise UserError(f"parameter {rule} = {values[rule]:g} needs a pose: set odometry_topic, or {rule} to 0.0")
    least_mb = 4 * (values["max_segment_mb"] + SEGMENT_SLACK_MB)
    if 0 < values["max_total_mb"] < least_mb:
        raise UserError(
            f"parameter max_total_mb = {values['max_total_mb']:g} is too small for max_segment_mb = "
            f"{values['max_segment_mb']:g}: give at least {least_mb:g}, or 0.0 for no budget, or smaller segments"
        )


def topics(values: dict[str, Any]) -> dict[str, str]:
    """The topics that are subscribed to, by stream: those that have a name and that depth_only does not leave out."""
    left_out = ("rgb", "camera_info") if values["depth_only"] else ()
    named = {stream: str(values[f"{stream}_topic"]) for stream in STREAMS if stream not in left_out}
    return {stream: topic for stream, topic in named.items() if topic}
