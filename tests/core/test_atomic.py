"""What is written appears whole or not at all, and what cannot be written is said in one line."""

import errno
import os
from pathlib import Path

import pytest

from edgevl_core.base.atomic import NotWritten, atomic_directory, atomic_write, check_place
from edgevl_core.base.errors import UserError

pytestmark = pytest.mark.unit


def test_a_file_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "none" / "a.json"
    with pytest.raises(NotWritten) as refused:
        atomic_write(file, b"x")
    assert str(refused.value).startswith(f"{file} cannot be written (No such file or directory): ")
    assert (refused.value.errno, refused.value.strerror) == (errno.ENOENT, os.strerror(errno.ENOENT))


def test_a_directory_that_is_made_meanwhile_is_kept(tmp_path: Path) -> None:
    def late() -> None:
        with atomic_directory(tmp_path / "a"):
            (tmp_path / "a").mkdir()
            (tmp_path / "a" / "theirs").touch()

    with pytest.raises(UserError, match=r"a cannot be written \(Directory not empty\)"):
        late()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["a", "a/theirs"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, NotWritten), (errno.EFBIG, NotWritten), (errno.EIO, OSError)]
)
def test_a_full_disk_is_said_and_what_was_read_in_vain_stays_what_it_is(
    tmp_path: Path, number: int, kind: type[OSError]
) -> None:
    def fail() -> None:
        with atomic_directory(tmp_path / "a"):
            raise OSError(number, os.strerror(number), "some file")

    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        fail()
    assert type(raised.value) is kind
    assert not any(tmp_path.iterdir())


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_place(tmp_path / "new" / "new" / "a")
    with pytest.raises(UserError, match=r"a cannot be made: .*file is no directory"):
        check_place(tmp_path / "file" / "new" / "a")
