"""benchmarks/tensorrt_builds.py: NVIDIA's compiler takes the s8 file and refuses the CPU's; without it, one line."""

import sys
from importlib.util import find_spec

import pytest

pytest.importorskip("torch", reason="needs the extra train: pip install '.[train]'")

from tensorrt_builds import main

pytestmark = pytest.mark.train


def test_without_the_compiler_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_libs", None)
    assert main([]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert "pip install tensorrt-rtx-cu13-libs" in told.err


@pytest.mark.skipif(find_spec("tensorrt_rtx_libs") is None, reason="needs tensorrt-rtx-cu13-libs and its bindings")
def test_the_s8_file_is_taken_and_the_cpus_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--students", "mobilenetv4_conv_small"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "mobilenetv4_conv_small" in line]
    assert ["refused" in line for line in said] == [False, False, True]
