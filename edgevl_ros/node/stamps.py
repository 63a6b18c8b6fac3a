"""Stamps as messages of rclpy."""

from builtin_interfaces.msg import Time

from edgevl_core.pairlog.cdr_header import NS_PER_S


def to_time(nanoseconds: int) -> Time:
    """Nanoseconds as a builtin_interfaces/Time."""
    seconds, rest = divmod(nanoseconds, NS_PER_S)
    return Time(sec=seconds, nanosec=rest)


def from_time(time: Time) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(time.sec) * NS_PER_S + int(time.nanosec)
