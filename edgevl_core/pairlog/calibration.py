"""The cameras' calibration in serialised messages: from a live stream, or from a bag."""

from collections.abc import Mapping

from edgevl_core.camera.limits import ImageFormatError
from edgevl_core.camera.registration import INFO_OF, Registration, RegistrationFinder, Status, parse_registration
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.streams import Streams, camera_info_beside
from edgevl_core.pairlog.types import CAMERA_INFO, deserialize

_STAMP_END = 12  # CDR: 4 bytes of encapsulation, 8 of the header's stamp


class CalibrationReader:
    """Takes camera_info as it is received; one that says the same as the one before costs a comparison.

    Attributes:
        finder: what is known of the two cameras.
    """

    def __init__(self) -> None:
        self.finder = RegistrationFinder()
        self._last: dict[str, bytes] = {}

    @property
    def found(self) -> Registration:
        return self.finder.found

    def add(self, camera: str, cdr: bytes) -> bool:
        """A serialised CameraInfo of "rgb" or "depth"; whether ``found`` changed.

        Raises:
            BrokenMessage: the bytes are none.
        """
        content = bytes(cdr[_STAMP_END:])
        if self._last.get(camera) == content:
            return False
        self._last[camera] = content
        return self.finder.info(camera, deserialize(cdr, CAMERA_INFO))


def info_topics(reader: BagReader, streams: Streams) -> Mapping[str, str]:
    """Camera, "rgb" or "depth", by the camera_info topic beside its images; one elsewhere may be of a third camera."""
    topics = {getattr(streams, stream): camera for stream, camera in INFO_OF.items()}
    return {
        name: camera
        for name, camera in topics.items()
        if name is not None and name == camera_info_beside(reader, getattr(streams, camera))
    }


def read_calibration(reader: BagReader, streams: Streams) -> CalibrationReader:
    """What a bag's camera_info say of its cameras: all up to the first calibrated one of each."""
    calibration = CalibrationReader()
    for name, camera in info_topics(reader, streams).items():
        for message in reader.messages([name]):
            try:
                calibration.add(camera, message.data)
            except ImageFormatError:
                continue
            if calibration.finder.knows(camera):
                break
    return calibration


def bag_registration(calibration: CalibrationReader, said: str) -> Registration:
    """Whether a bag's depth is registered: by its camera_info, else by what pair_logger said of its own log.

    Args:
        said: the log's fact "registered"; empty: it is no log of pair_logger.
    """
    by_logger = parse_registration(said)
    # Where depth is to be cut, only a camera_info says how far.
    if calibration.found.status is not Status.UNKNOWN or not said or by_logger.status is Status.BY_CAMERA_INFO:
        return calibration.found
    return by_logger
