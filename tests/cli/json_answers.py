"""Runs a command in this process with ``--json -``: its standard output is one JSON object, and no more."""

import json
from typing import Any

import pytest

from edgevl_cli.main import app


def answer_of(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, Any]:
    """What ``edgevl WORDS --json -`` answers, by a strict reader."""
    capsys.readouterr()
    ended = app([*map(str, words), "--json", "-"], standalone_mode=False)
    assert (ended or 0) == code
    said = json.loads(capsys.readouterr().out, parse_constant=_no_number)
    assert isinstance(said, dict)
    return said


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
