"""The command line as a user gives it, in this process: one of its own would load torch again for each line."""

import io
import signal
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest.mock import patch

from edgevl_cli.main import main


def edgevl(*arguments: object) -> CompletedProcess[str]:
    """What ``edgevl ARGUMENTS`` says, and its exit code; 1 with the traceback where it fails."""
    words, out, err, code = ["edgevl", *map(str, arguments)], io.StringIO(), io.StringIO(), 0
    before = signal.getsignal(signal.SIGTERM)
    with patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        except Exception:
            traceback.print_exc()
            code = 1
        finally:
            signal.signal(signal.SIGTERM, before)
    return CompletedProcess(words, code, out.getvalue(), err.getvalue())


def refusal(*arguments: object) -> str:
    """The one line that ``edgevl ARGUMENTS`` says before it exits 2."""
    result = edgevl(*arguments)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]
