"""Words of users in matplotlib's plots."""


def as_written(text: str) -> str:
    """``text`` for matplotlib to draw as it is; else two ``$`` make a formula, and a faulty one is refused."""
    return text.replace("$", r"\$")
