"""scene_classifier's parameters."""

from dataclasses import dataclass

from edgevl_core.bundle.student_bundle import PRECISIONS
from edgevl_core.classify.smoothing import RESET_AFTER_S
from edgevl_core.engine import CPU_ONLY, ENGINES
from edgevl_ros.node.parameters import TrustParameters, parameter
from edgevl_ros.node.qos import StreamParameters


@dataclass(frozen=True)
class ClassifierParameters(StreamParameters, TrustParameters):
    """scene_classifier's parameters."""

    bundle: str = parameter("", "student bundle to load at start; empty: wait for ~/load_bundle")
    bundle_roots: tuple[str, ...] = parameter(
        (), "directories that ~/load_bundle loads from; empty: any", read_only=True
    )
    labels: tuple[str, ...] = parameter((), "label set to start with; empty: the one that the bundle was made for")
    max_labels: int = parameter(256, "most labels that ~/set_labels accepts", low=1, high=10_000)
    use_rgb: bool = parameter(True, "subscribe to RGB")
    use_depth: bool = parameter(True, "subscribe to depth")
    rgb_topic: str = parameter("camera/rgb/image_raw", "RGB; CompressedImage where it ends in /compressed")
    depth_topic: str = parameter("camera/depth/image_raw", "depth, as above; also /compressedDepth")
    camera_info_topic: str = parameter("", "of the RGB camera, to register depth to it; empty: none")
    depth_camera_info_topic: str = parameter(
        "", "of the depth camera: with both, depth is cut to what RGB sees where the student learned so; empty: none"
    )
    max_skew_s: float = parameter(0.02, "largest difference of stamps within a pair", low=0.0, high=1.0)
    fallback_after_s: float = parameter(
        0.5, "silence, or time without a pair, after which one is used alone", low=0.0, high=60.0
    )
    smoothing_s: float = parameter(0.0, "time constant of smoothing the scores; 0: off", low=0.0, high=60.0)
    hysteresis: float = parameter(0.0, "lead in score that another label needs to take over", low=0.0, high=1.0)
    reset_after_s: float = parameter(
        RESET_AFTER_S, "gap in stamps after which smoothing begins anew", low=0.01, high=3600.0
    )
    max_rate_hz: float = parameter(0.0, "most frames a second that are looked at; 0: every one", low=0.0, high=1000.0)
    idle_without_subscribers: bool = parameter(True, "decode nothing while nobody subscribes to the answers")
    engine: str = parameter(
        ENGINES[0], "what runs the student; openvino: where that library is installed", choices=ENGINES
    )
    precision: str = parameter("auto", "student: int8, float, or auto: float where int8 is refused", choices=PRECISIONS)
    threads: int = parameter(1, "threads of one inference", low=1, high=64)
    providers: tuple[str, ...] = parameter(
        CPU_ONLY, "execution providers of the engine onnxruntime, first choice first"
    )
    top_k: int = parameter(5, "labels and scores in each answer", low=1, high=100)
    offload: str = parameter(
        "", "cut student, as `edgevl split --at --out` writes it: a base_station runs its back half; empty: none does"
    )
    offload_topic: str = parameter("base_station/answers", "the base station's answers to ~/features")
    offload_wait_s: float = parameter(
        0.0, "how long its answer is waited for; 0: what a frame period leaves beside the back half", low=0.0, high=10.0
    )
    offload_retry_s: float = parameter(
        1.0, "while it does not answer in time, it is tried again so often, without waiting", low=0.05, high=3600.0
    )
