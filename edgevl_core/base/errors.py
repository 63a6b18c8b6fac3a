"""The one exception that means "the user's input is wrong"."""


class UserError(Exception):
    """The user's input is wrong; the message is one line: the thing, its value, what is accepted, what to do.

    The command line prints the message without a traceback and exits 2; a node logs it and degrades its diagnostics.
    """


def one_line(text: str, most: int = 500) -> str:
    """``text`` as one line that a terminal and a log can take, of at most ``most`` characters.

    No control characters, white space single. For what comes from outside: files, other libraries' messages.
    """
    tidy = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return tidy if len(tidy) <= most else f"{tidy[: most - 3]}..."
