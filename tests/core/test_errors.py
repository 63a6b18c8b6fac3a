"""Text of unknown origin, fit to be shown."""

import pytest

from edgevl_core.base.errors import LONGEST, UserError, one_line, printable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ["my  bag", "10.30\u202fPM.png", "اتاق\u200cنشیمن", "居間"])
def test_an_error_names_a_path_as_it_is(name: str) -> None:
    assert str(UserError(f"{name} is no bag")) == f"{name} is no bag"


def test_what_a_terminal_obeys_is_not_in_it() -> None:
    assert str(UserError("a\n    b\x1b[2J \u202ec\u2028d")) == "a b [2J c d"
    assert printable("a\nb\x1bc\u200dd", "?") == "a\nb?c\u200dd"
    assert one_line("a \n  b\u200cc") == "a b\u200cc"
    assert len(str(UserError("x" * 2 * LONGEST))) == LONGEST
