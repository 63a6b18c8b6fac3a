"""The one exception that means "the user's input is wrong", and text of unknown origin made fit to be shown."""

import re
from unicodedata import category

LONGEST = 4000
"""Characters of a :class:`UserError`: what quotes a file of unknown origin must not fill a terminal."""
_JOINERS = "\u200c\u200d"  # within words of many languages


def printable(text: str, instead: str = " ") -> str:
    """``text``, but ``instead`` of each character that a terminal obeys or that turns the text behind it.

    New lines stay, and spaces of all widths: paths have them.
    """
    return "".join(c if c.isprintable() or c == "\n" or c in _JOINERS or category(c) == "Zs" else instead for c in text)


def one_line(text: str, most: int = 500) -> str:
    """``text`` as one line that a terminal and a log can take, of at most ``most`` characters.

    No control characters, white space single. For what comes from outside: files, other libraries' messages.
    """
    return _cut(" ".join(printable(text).split()), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


class UserError(Exception):
    """The user's input is wrong; the message is one line: the thing, its value, what is accepted, what to do.

    The command line prints the message without a traceback and exits 2; a node logs it and degrades its diagnostics.
    ``str`` of it is one line of at most :data:`LONGEST` characters, whatever it quotes.
    """

    def __str__(self) -> str:
        said = " ".join(map(str, self.args))  # an OSError among its kinds would say its number
        return _cut(re.sub(r" *\n[\n ]*", " ", printable(said, "\n")).strip(), LONGEST)
