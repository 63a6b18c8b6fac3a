"""What a look at something finds, with its fix: the lines of ``edgevl doctor``."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing looked at.

    Attributes:
        ok: True: as it should be; False: to be mended; None: worth knowing, and no fault on every machine.
        what: what was seen, with its value.
        fix: what to do; empty where ok.
    """

    ok: bool | None
    what: str
    fix: str = ""
