"""Which labels are in force, and where a teacher keeps them."""

from collections.abc import Sequence

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import LabelBank


def split_bank(bank: LabelBank, leave_out: Sequence[str]) -> tuple[LabelBank, int]:
    """The bank with the labels of ``leave_out`` at its end, and how many stand before them.

    Raises:
        UserError: a label that is not in the bank, or none would be left to tell apart.
    """
    rows = [bank.find(word) for word in leave_out]
    if missing := [word for word, row in zip(leave_out, rows, strict=True) if row is None]:
        raise UserError(f"--leave-out {', '.join(missing)}: not in the label set ({', '.join(bank.names)})")
    out = tuple(name for row, name in enumerate(bank.names) if row in rows)
    kept = tuple(name for name in bank.names if name not in out)
    if out and len(kept) < 2:
        raise UserError(
            f"--leave-out {', '.join(out)}: leaves {len(kept)} of {len(bank.names)} labels, at least 2 needed"
        )
    return bank.select(kept + out), len(kept)


def named_rows(theirs: LabelBank, mine: LabelBank) -> list[int]:
    """Rows of the teacher's bank for the labels of the model's.

    Raises:
        UserError: it lacks some, or lies in a space of another dimension.
    """
    if theirs.vectors.shape[1] != mine.vectors.shape[1]:
        raise UserError(
            f"the teacher has {theirs.vectors.shape[1]} dimensions, the model {mine.vectors.shape[1]}: pass the "
            "teacher that the model was made with"
        )
    rows = [theirs.find(name) for name in mine.names]
    if None in rows:
        raise UserError("the teacher's label set lacks labels of the model: evaluate both with one label file")
    return [row for row in rows if row is not None]
