"""The labelled part of NYU Depth V2 becomes a bag."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.sequences import number_sequences
from edgevl_train.datasets.kinds import import_collection
from tests.train.datasets.collections_on_disk import RED, depth_mm, millimetres, pairs_of, truths

pytestmark = pytest.mark.unit
FILE = "nyu_depth_v2_labeled.mat"
ROOMS = ("kitchen", "living_room", "home_office")


def labelled(path: Path, count: int) -> Path:
    """The arrays as MATLAB writes them to HDF5, one compressed chunk per image; image N is at N metres."""
    with h5py.File(path, "w") as file:
        red = np.broadcast_to(np.array(RED, np.uint8)[None, :, None, None], (count, 3, 4, 3)).copy()
        red[:, :, 3, 0] = 255  # the last column of the first row is white
        file.create_dataset("images", data=red, chunks=(1, 3, 4, 3), compression="gzip")
        depths = np.stack([depth_mm(number % 10).T / np.float32(1000) for number in range(count)])
        depths[:, 0, 0], depths[:, 0, 1] = np.nan, 70.0  # none, and more than 16 bits hold
        file.create_dataset("depths", data=depths.astype(np.float32), chunks=(1, 4, 3), compression="gzip")
        for name, values in {
            "sceneTypes": [ROOMS[number % 3] for number in range(count)],
            "scenes": [f"{ROOMS[number % 3]}_{number // 6:04d}" for number in range(count)],
        }.items():
            cells = [file.create_dataset(f"#refs#/{name}{i}", data=_characters(text)) for i, text in enumerate(values)]
            references = np.array([cell.ref for cell in cells], dtype=h5py.ref_dtype)
            file.create_dataset(name, data=references.reshape(1, -1), dtype=h5py.ref_dtype)
    return path


def _characters(text: str) -> np.ndarray:
    return np.array([[ord(letter)] for letter in text], np.uint16)


def destroy(path: Path, row: int) -> None:
    """Overwrite the stored chunk of one image."""
    with h5py.File(path, "r") as file:
        chunk = file["images"].id.get_chunk_info(row)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)


def test_pictures_depth_and_rooms(tmp_path: Path) -> None:
    labelled(tmp_path / FILE, 6)
    assert import_collection(tmp_path, tmp_path / "bag").pairs == 6
    pairs = pairs_of(tmp_path / "bag")
    assert truths(pairs) == {
        ("kitchen", "kitchen_0000"),
        ("living room", "living_room_0000"),
        ("home office", "home_office_0000"),
    }
    kitchen = [pair for pair in pairs if pair.truth and pair.truth.room == "kitchen"]
    for pair, number in zip(kitchen, (0, 3), strict=True):
        expected = depth_mm(number)
        expected[0, 0] = expected[1, 0] = 0
        np.testing.assert_array_equal(millimetres(pair), expected)
        assert pair.rgb.shape == (3, 4, 3)
        assert tuple(pair.rgb[2, 3]) == RED
        assert tuple(pair.rgb[0, 3]) == (255, 255, 255)


def test_every_scene_is_a_sequence(tmp_path: Path) -> None:
    """18 scenes of one or two pictures, mixed in the file: stamps alone tell them apart as the truth's names do."""
    labelled(tmp_path / FILE, 35)
    import_collection(tmp_path, tmp_path / "bag")
    pairs = pairs_of(tmp_path / "bag")
    stamp_ns = np.array([pair.stamp_ns for pair in pairs])
    sequence = number_sequences(stamp_ns, np.zeros(len(pairs), int))
    found = list(zip(sequence.tolist(), (pair.truth.home for pair in pairs if pair.truth), strict=True))
    assert len(set(found)) == len({number for number, _ in found}) == len({home for _, home in found}) == 18


def test_the_split_lists_image_numbers_from_1(tmp_path: Path) -> None:
    labelled(tmp_path / FILE, 6)
    (tmp_path / "test.txt").write_text("2\n5\n")
    assert import_collection(tmp_path / FILE, tmp_path / "bag", split=str(tmp_path / "test.txt")).pairs == 2
    assert truths(pairs_of(tmp_path / "bag")) == {("living room", "living_room_0000")}
    (tmp_path / "test.txt").write_text("7\n")
    with pytest.raises(UserError, match="none of its 1 names"):
        import_collection(tmp_path / FILE, tmp_path / "other", split=str(tmp_path / "test.txt"))


def test_unreadable_images_are_listed_and_more_than_5_percent_refused(tmp_path: Path) -> None:
    path = labelled(tmp_path / FILE, 40)
    destroy(path, 7)
    destroy(path, 9)
    summary = import_collection(path, tmp_path / "bag")
    assert summary.pairs == 38
    assert sorted("image 8" in line or "image 10" in line for line in summary.unreadable) == [True, True]
    destroy(path, 11)
    with pytest.raises(UserError, match=r"3 of 40 pairs of .* cannot be read"):
        import_collection(path, tmp_path / "other")
    assert {entry.name for entry in tmp_path.iterdir()} == {FILE, "bag"}


@pytest.mark.parametrize("way", ["storage", "link", "virtual", "name"])
def test_only_what_the_file_itself_holds_is_read(tmp_path: Path, way: str) -> None:
    """HDF5 follows external storage and links to any file that its reader may read."""
    path = labelled(tmp_path / FILE, 2)
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["images"] = np.zeros((2, 3, 4, 3), np.uint8)
    outside = {"shape": (2, 3, 4, 3), "dtype": "u1", "external": [(str(secret), 0, 72)]}
    with h5py.File(path, "a") as file:
        if way != "name":
            del file["images"]
        if way == "storage":
            file.create_dataset("images", **outside)
        elif way == "link":
            file["images"] = h5py.ExternalLink(str(secret), "images")
        elif way == "virtual":
            layout = h5py.VirtualLayout((2, 3, 4, 3), "u1")
            layout[:] = h5py.VirtualSource(str(secret), "images", (2, 3, 4, 3))
            file.create_virtual_dataset("images", layout)
        else:
            file["scenes"][0, 0] = file.create_dataset("outside", **outside).ref
    with pytest.raises(UserError, match=r"its array images is kept elsewhere|name of a scene is no text that is kept"):
        import_collection(path, tmp_path / "bag")
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize("shape", [(2, 3, 400_000, 400_000), (2, 4, 4, 3), (2, 3)])
def test_pictures_of_another_shape_are_refused_before_they_are_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """What is not stored takes no byte of the file."""
    path = labelled(tmp_path / FILE, 2)
    with h5py.File(path, "a") as file:
        del file["images"]
        file.create_dataset("images", shape, "u1", chunks=tuple(min(side, 64) for side in shape))
        if len(shape) == 4:
            del file["depths"]
            file.create_dataset("depths", (2, *shape[2:]), "f4", chunks=(1, 3, 3))
    with pytest.raises(UserError, match=r"are too many|give nyu_depth_v2_labeled\.mat, the labelled part"):
        import_collection(path, tmp_path / "bag")


def test_other_files_and_a_missing_library_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "splits.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(UserError, match="is no HDF5 file"):
        import_collection(tmp_path / "splits.mat", tmp_path / "bag")
    with h5py.File(tmp_path / FILE, "w") as file:
        file["images"] = np.zeros((1, 3, 4, 3), np.uint8)
    with pytest.raises(UserError, match="has no array depths, sceneTypes, scenes"):
        import_collection(tmp_path, tmp_path / "bag")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"needs h5py.*pip install h5py"):
        import_collection(tmp_path, tmp_path / "bag")
