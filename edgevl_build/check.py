"""``python -m edgevl_build.check``: are messages and services there, and does their compiled code load?"""

import sys


def main() -> None:
    """Exit 1 with the reason where they are not."""
    try:
        import edgevl.msg
        import edgevl.srv
        from rclpy.serialization import deserialize_message, serialize_message
        from rclpy.type_support import check_for_type_support
    except ImportError as error:
        sys.exit(f"edgevl: the messages were not built in {sys.prefix}: {error}")
    sent = edgevl.msg.SceneClass(label="kitchen", scores=[0.75, 0.25])
    if deserialize_message(serialize_message(sent), edgevl.msg.SceneClass) != sent:
        sys.exit(f"edgevl: a message did not survive serialization in {sys.prefix}")
    for service in (edgevl.srv.SetLabels, edgevl.srv.LoadBundle):
        check_for_type_support(service)
    print(f"edgevl.msg and edgevl.srv work in {sys.prefix}")


if __name__ == "__main__":
    main()
