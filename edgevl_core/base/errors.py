"""The one exception that means "the user's input is wrong"."""

LONGEST = 4000
"""Characters of a :class:`UserError`: what quotes a file of unknown origin must not fill a terminal."""


def one_line(text: str, most: int = 500) -> str:
    """``text`` as one line that a terminal and a log can take, of at most ``most`` characters.

    No control characters, white space single. For what comes from outside: files, other libraries' messages.
    """
    tidy = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return tidy if len(tidy) <= most else f"{tidy[: most - 3]}..."


class UserError(Exception):
    """The user's input is wrong; the message is one line: the thing, its value, what is accepted, what to do.

    The command line prints the message without a traceback and exits 2; a node logs it and degrades its diagnostics.
    ``str`` of it is one line of at most :data:`LONGEST` characters, whatever it quotes.
    """

    def __str__(self) -> str:
        return one_line(" ".join(map(str, self.args)), LONGEST)  # an OSError among its kinds would say its number
