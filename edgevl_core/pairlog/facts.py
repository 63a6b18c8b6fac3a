"""What pair_logger said of its own log: reduced, compressed, registered."""

from mcap.records import Metadata

from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.retention import MARK


def log_facts(reader: BagReader) -> dict[str, str]:
    """By name; where facts differ, the last ones hold. None of a bag that pair_logger did not write."""
    facts: dict[str, str] = {}
    for record in reader.extras(closed=True):
        facts |= record.metadata if isinstance(record, Metadata) and record.name == MARK else {}
    return facts
