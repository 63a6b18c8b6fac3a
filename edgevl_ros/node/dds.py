"""Which environment variable tells Fast DDS where its profile is. Imports no ROS."""

from importlib import metadata

NEW, OLD = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
# rclpy of Kilted, the first release on Fast DDS 3: it warns when the old name is set, Jazzy knows only
# the old one.
FIRST_NEW_MAJOR = 9


def profile_variables() -> tuple[str, ...]:
    """The variable that the installed ROS 2 reads; both where its release cannot be told."""
    for distribution in ("rclpy", "ros-rclpy"):  # apt or source; wheels
        try:
            major = int(metadata.version(distribution).split(".")[0])
        except metadata.PackageNotFoundError:
            continue
        return (NEW,) if major >= FIRST_NEW_MAJOR else (OLD,)
    return NEW, OLD
