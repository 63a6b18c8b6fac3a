"""The command line's promises: fast help, one line and exit 2 where the user's input is wrong, nothing lost."""

import io
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from edgevl_cli import console
from edgevl_cli.console import ProgressLines
from edgevl_cli.resumable import resumable
from edgevl_core.base.resources import resource
from tests.cli.command import edgevl, refusal
from tests.core.bags import write_bag

pytestmark = pytest.mark.unit

HOME = str(resource("config/labels/home.yaml"))


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bag = tmp_path_factory.mktemp("cli") / "drive"
    result = edgevl("sim", "--out", bag, "--homes", 1, "--frames-per-room", 1, "--workers", 1)
    assert result.returncode == 0, result.stderr
    return bag


@pytest.fixture(scope="module")
def rgb_only(tmp_path_factory: pytest.TempPathFactory, drive: Path) -> Path:
    """The drive without its depth topic."""
    from edgevl_core.pairlog.reader import BagReader
    from edgevl_core.pairlog.writer import BagWriter

    bag = tmp_path_factory.mktemp("cli") / "rgb_only"
    with BagReader(drive) as reader, BagWriter(bag) as writer:
        kept = [topic for topic in reader.topics.values() if "depth" not in topic.name]
        for topic in kept:
            writer.add_topic(topic.name, topic.msgtype)
        for message in reader.messages([topic.name for topic in kept]):
            writer.write(message.topic, message.data, message.stamp_ns)
    return bag


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag whose recording ended before its first message."""
    from edgevl_core.pairlog.writer import BagWriter

    bag = tmp_path_factory.mktemp("cli") / "empty"
    with BagWriter(bag) as writer:
        writer.add_topic("camera/rgb/image_raw", "sensor_msgs/msg/Image")
    return bag


def test_help_loads_no_library_but_the_command_lines_own() -> None:
    """So it comes at once, on any machine: what a command needs is loaded by that command."""
    script = (
        "import sys, atexit; before = set(sys.modules); from edgevl_cli.main import main; sys.argv[1:] = ['--help']; "
        "atexit.register(lambda: print(*(set(sys.modules) - before), file=sys.stderr)); main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stderr.split()} - sys.stdlib_module_names
    assert loaded <= {"edgevl_cli", "edgevl_core", "typer", "rich", "shellingham", "annotated_doc"}
    assert {"edgevl_cli", "typer"} <= loaded


def test_the_version_is_the_packages() -> None:
    done = edgevl("--version")
    assert (done.returncode, done.stdout) == (0, f"edgevl {version('edgevl')}\n")


def test_help_is_one_screen_with_every_command_in_whole_sentences() -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", "edgevl_cli.main", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, env=environment).stdout
    lines = said.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert "..." not in said.replace("[ARGS]...", "")
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        *("Options:", "First steps:", "Drives: bags of RGB and depth:", "Teacher and student:", "On the robot:")
    ]


@pytest.mark.parametrize("group", ["log", "teacher", "bundle"])
def test_a_groups_commands_are_told_in_whole_sentences(group: str) -> None:
    assert "..." not in edgevl(group, "--help").stdout.replace("[ARGS]...", "")


def test_options_stand_under_headings() -> None:
    said = edgevl("adapt", "--help").stdout
    order = [
        said.index(f"\n{heading}:\n") for heading in ("Arguments", "Needed", "How it learns", "The run", "Options")
    ]
    assert order == sorted(order)
    assert said.index("Which pairs of the bags:") < said.index("--max-skew-s") < said.index("The run:")


@pytest.mark.parametrize(
    ("words", "found"), [("edgevl ev", ["evaluate"]), ("edgevl log ", ["info", "view", "recover"])]
)
def test_a_shell_completes_commands(words: str, found: list[str]) -> None:
    """As the script that ``edgevl --install-completion`` puts into bash asks for it."""
    position = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    program = "import sys; sys.argv[0] = 'edgevl'; from edgevl_cli.start import main; main()"
    environment = {**os.environ, "_EDGEVL_COMPLETE": "complete_bash", **position}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, env=environment).stdout
    assert said.split() == found


def test_progress_without_a_terminal_is_a_line_now_and_then() -> None:
    now_s, stream = 0.0, io.StringIO()
    lines = ProgressLines("exporting", stream, lambda: now_s)
    for second in range(13):
        now_s = float(second)
        lines(second, 20)
    # After two seconds, then every five; the time left is that of what is left at the pace so far.
    assert stream.getvalue().splitlines() == [
        "[ 10%] exporting, 18 s left",
        "[ 35%] exporting, 13 s left",
        "[ 60%] exporting, 8 s left",
    ]


@pytest.mark.parametrize("given", [["adapt", "my bag"], ["adapt", "--resume", "my bag"]])
def test_ctrl_c_says_the_command_that_goes_on(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a real run: tests/train/test_interrupted.py."""
    monkeypatch.setattr(sys, "argv", ["edgevl", *given])
    with pytest.raises(typer.Exit) as ended, resumable():
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    said = shlex.split(capsys.readouterr().err.strip().removeprefix("edgevl: interrupted; to go on: "))
    assert sorted(said) == ["--resume", "adapt", "edgevl", "my bag"]


class Terminal(io.StringIO):
    """A stream that says it is one, and tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.written.set()


def test_a_terminal_is_told_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.waiting("loading"):  # for less than two seconds: nothing to say
        pass
    assert terminal.getvalue() == ""
    monkeypatch.setattr(console, "FIRST_LINE_S", 0.0)
    with console.waiting("loading"):
        assert terminal.written.wait(60)
    assert terminal.getvalue() == "loading ...\n"


def test_a_bag_that_is_not_there() -> None:
    """In a process of its own, as a user's; most tests run the command line in theirs."""
    command = [sys.executable, "-m", "edgevl_cli.main", "log", "info", "/nowhere/bag"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("edgevl: ")
    assert "/nowhere/bag" in done.stderr


def test_an_empty_bag(empty: Path, tmp_path: Path) -> None:
    line = refusal("adapt", empty, "--teacher", "open_clip:RN50@x.pt", "--labels", HOME, "--out", tmp_path / "run")
    assert str(empty) in line
    assert "no messages" in line
    assert not (tmp_path / "run").exists()


def test_a_bag_without_depth_names_its_topics(rgb_only: Path, tmp_path: Path) -> None:
    line = refusal("adapt", rgb_only, "--teacher", "open_clip:RN50@x.pt", "--labels", HOME, "--out", tmp_path / "run")
    assert "depth" in line
    assert "camera/rgb/image_raw" in line


def test_a_teacher_without_weights(drive: Path, tmp_path: Path) -> None:
    spec = "open_clip:ViT-B-32@/nowhere/weights.pt"
    line = refusal("adapt", drive, "--teacher", spec, "--labels", HOME, "--out", tmp_path / "run")
    assert "/nowhere/weights.pt" in line
    line = refusal("adapt", drive, "--teacher", "clip", "--labels", HOME, "--out", tmp_path / "run")
    assert "open_clip:" in line


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("", "no labels"), ("labels: []\n", "no labels"), ("labels: [kitchen, Kitchen]\n", "kitchen"), ("a: [", "YAML")],
)
def test_labels_that_cannot_be_used(drive: Path, tmp_path: Path, content: str, complaint: str) -> None:
    labels = tmp_path / "labels.yaml"
    labels.write_text(content)
    line = refusal("adapt", drive, "--teacher", "open_clip:RN50@x.pt", "--labels", labels, "--out", tmp_path / "run")
    assert str(labels) in line
    assert complaint.lower() in line.lower()


def test_a_run_directory_that_exists(drive: Path, tmp_path: Path) -> None:
    kept = tmp_path / "run" / "precious"
    kept.parent.mkdir()
    kept.write_text("still here")
    line = refusal("adapt", drive, "--teacher", "open_clip:RN50@x.pt", "--labels", HOME, "--out", tmp_path / "run")
    assert str(tmp_path / "run") in line
    assert "--resume" in line
    assert kept.read_text() == "still here"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seeds", "7"], "--seeds belongs to --ablate: pass that as well; for one run pass --set seed=7"),
        (["--weight-bits", "4"], "for one run pass --set stage2.weight_bits=4"),
        (["--variant", "stage1.lr=1"], "for one run pass each of its settings with --set"),
        (["--test", "bag"], "for one run ask `edgevl evaluate RUN/bundle BAG` afterwards"),
        (["--ablate", "--sign", "key"], "--sign and --ablate: it makes no bundle to sign, leave --sign out"),
        (["--ablate", "--dry-run"], "--dry-run and --ablate: a dry run checks one run"),
        (["--ablate", "--logger", "mlflow"], "--logger and --ablate: after it, `edgevl report DIR --to LOGGER`"),
    ],
)
def test_no_option_of_adapt_is_passed_over(tmp_path: Path, options: list[str], said: str) -> None:
    words = ("--teacher", "open_clip:x@y", "--labels", HOME, "--out", tmp_path / "run")
    assert said in refusal("adapt", tmp_path / "bag", *words, *options)


def test_a_recipe_names_every_fault_at_once(drive: Path, tmp_path: Path) -> None:
    faults = ("--set", "stage1.epochs=0", "--set", "stage9.lr=1")
    line = refusal("adapt", drive, "--teacher", "open_clip:x@y", "--labels", HOME, "--out", tmp_path / "run", *faults)
    assert "stage1.epochs" in line
    assert "stage9" in line


def test_outputs_are_never_written_over(drive: Path) -> None:
    assert str(drive) in refusal("sim", "--out", drive)
    assert "exists" in refusal("demo", "--out", drive)


def test_a_drive_has_no_negative_number(tmp_path: Path) -> None:
    assert "drive -1 is negative" in refusal("sim", "--out", tmp_path / "bag", "--drive", -1)


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [(signal.SIGTERM, 128 + signal.SIGTERM, 2), (signal.SIGKILL, -signal.SIGKILL, 2), (signal.SIGKILL, -9, 1)],
)
def test_a_signal_ends_what_a_command_has_started(tmp_path: Path, number: int, code: int, workers: int) -> None:
    """Workers, too, however many there are yet, and though nobody is left to end them."""
    command = [sys.executable, "-m", "edgevl_cli.main", "sim", "--out", tmp_path / "bag", "--homes", "50"]
    with subprocess.Popen([*map(str, command), "--workers", "2"], stderr=subprocess.DEVNULL) as process:
        listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline_s = time.monotonic() + 60
        while len(children := listing.read_text().split()) < workers:
            assert time.monotonic() < deadline_s, "no workers"
            time.sleep(0.005)
        process.send_signal(number)
        assert process.wait(60) == code
    # The tracker of multiprocessing's resources ends by itself, a moment after its last user.
    while left := [pid for pid in children if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline_s, f"still there: {left}"
        time.sleep(0.02)


def test_doctor_works_and_names_the_python() -> None:
    result = edgevl("doctor")
    # A container's small shared memory is a fault of the machine.
    assert not [line for line in result.stdout.splitlines() if line.startswith("BAD") and "/dev/shm" not in line]
    assert sys.version.split()[0] in result.stdout


def test_topics_and_tolerance_of_a_bag_are_options(tmp_path: Path) -> None:
    """log info says how far apart the images are, and pairs them when told to; nonsense is one line."""
    bag = write_bag(tmp_path / "bag", 10, depth_offset_ns=40_000_000)
    said = edgevl("log", "info", bag).stdout
    assert "doubt: No RGB image has a depth image near it in time. " in said
    assert "depth is always 40.0 ms later: --max-skew-s 0.05" in said
    named = ("--rgb", "/camera/rgb/image_raw", "--depth", "camera/depth/image_raw")
    said = edgevl("log", "info", bag, "--max-skew-s", "0.05", "--json", tmp_path / "info.json", *named).stdout
    assert "10 pairs of camera/rgb/image_raw" in said
    assert "fine: RGB and depth fit together" in said
    assert "doubt: 10 pairs are few to adapt from" in said
    assert '"health"' in (tmp_path / "info.json").read_text()
    assert "--max-skew-s nan: seconds above 0" in refusal("log", "info", bag, "--max-skew-s", "nan")
    assert "no topic '/other'" in refusal("log", "info", bag, "--depth", "/other")


def test_a_folder_of_pictures_is_no_bag_but_becomes_one(tmp_path: Path) -> None:
    (tmp_path / "kitchen.jpg").write_bytes(b"")
    assert "`edgevl import`" in refusal("log", "info", tmp_path)


def test_ctrl_c_in_sim_says_that_its_bag_is_a_part(tmp_path: Path) -> None:
    bag = tmp_path / "drive"
    words = ["sim", "--out", str(bag), "--homes", "9", "--frames-per-room", "99", "--workers", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "edgevl_cli.main", *words],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as run:
        deadline_s = time.monotonic() + 120
        while not any(file.stat().st_size > 10_000 for file in bag.rglob("*.mcap")):  # frames, no more a head alone
            assert run.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=120)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert f"edgevl: interrupted; {bag} is only a part: remove it" in said
