"""At which log time a message goes into a log whose camera's clock may be set back meanwhile. No ROS."""

_FRAME_NS = 100_000_000


class LogClock:
    """Log times that go on where stamps go back; the first stretch's are its stamps.

    A reader takes messages in log-time order: with the stamps themselves, images from before and after a step back
    would come mixed, and be paired across places.

    Attributes:
        stretch: how often the stamps have gone back so far.
    """

    def __init__(self) -> None:
        self.stretch = 0
        self._ahead_ns = self._begin_ns = self._newest_ns = 0

    def at(self, stamp_ns: int) -> int:
        """The log time of a message with that stamp, nanoseconds; never before the present stretch."""
        log_ns = max(self._begin_ns, stamp_ns + self._ahead_ns)
        self._newest_ns = max(self._newest_ns, log_ns)
        return log_ns

    def begin(self, stretch: int, first_ns: int) -> None:
        """The stamps went back; those to come begin at ``first_ns``, and in the log behind all there is."""
        self.stretch = stretch
        self._begin_ns = self._newest_ns + _FRAME_NS
        self._ahead_ns = max(self._ahead_ns, self._begin_ns - first_ns)
