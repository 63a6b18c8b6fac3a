"""The one exception that means "the user's input is wrong"."""


class UserError(Exception):
    """The user's input is wrong; the message is one line: the thing, its value, what is accepted, what to do.

    The command line prints the message without a traceback and exits 2; a node logs it and degrades its diagnostics.
    """
