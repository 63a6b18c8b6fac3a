"""A robot that trusts keys takes what they signed, whole and unchanged, and nothing else: in one line, at once."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.self_test import try_bundle
from edgevl_core.bundle.signature import SIGNATURE_FILE, fingerprint, signed_manifest, trusted_keys
from edgevl_core.bundle.signing import new_key, public_key, sign_bundle
from edgevl_core.bundle.student_bundle import load_bundle, load_words
from edgevl_core.classify.model import load_model
from edgevl_core.classify.smoothing import RESET_AFTER_S, Smoother
from edgevl_core.room_map.words import open_dictionary
from tests.core.bundle.hostile import one_plain_line
from tests.core.tiny import edit_manifest, reseal, write_colour_bundle

pytestmark = pytest.mark.unit
QUICK_S = 2.0


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "robot.pem"
    new_key(file)
    return file


@pytest.fixture(scope="module")
def public(key: Path) -> str:
    return public_key(key)


@pytest.fixture(scope="module")
def signed_whole(whole: Path, key: Path) -> Path:
    copy = whole.with_name("signed")
    shutil.copytree(whole, copy)
    sign_bundle(copy, key)
    return copy


@pytest.fixture
def signed(signed_whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed_whole, tmp_path / "bundle"))


def refusal(bundle: Path, *trusted: str) -> str:
    """The message of a bundle that must be refused, by everything that loads one."""
    start_s = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_bundle(bundle, trusted=trusted)
    with pytest.raises(UserError):
        load_words(bundle, trusted)
    assert time.monotonic() - start_s < QUICK_S
    return one_plain_line(str(caught.value))


def test_a_signed_bundle_is_taken_by_everything_that_loads_one(signed: Path, public: str, tmp_path: Path) -> None:
    manifest = load_bundle(signed, trusted=[public]).manifest
    try_bundle(signed, trusted=[public])
    assert open_dictionary(signed, [public]).manifest == manifest
    engine = {"engine": "onnxruntime", "threads": 1, "providers": ("CPUExecutionProvider",), "precision": "auto"}
    model = load_model(signed, None, engine, Smoother(0.0, 0.0, RESET_AFTER_S), [public])
    assert model.classifier.bundle_id == manifest.bundle_id
    (tmp_path / "current").symlink_to(signed)  # where the bundle lies may be a link
    load_bundle(tmp_path / "current", trusted=[public])
    load_bundle(signed)  # who trusts everybody takes it too


def test_one_of_several_trusted_keys_is_enough(signed: Path, public: str, tmp_path: Path) -> None:
    load_bundle(signed, trusted=[new_key(tmp_path / "other.pem"), public])


def test_an_unsigned_bundle_is_refused_before_it_is_parsed(bundle: Path, public: str) -> None:
    (bundle / "manifest.json").write_bytes(b"\xff" * 1000)
    assert f"is not signed, trusted are the keys {fingerprint(public)}" in refusal(bundle, public)
    with pytest.raises(UserError, match="is not signed"):
        try_bundle(bundle, trusted=[public])


def test_another_key_is_named(signed: Path, public: str, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other.pem")
    message = refusal(signed, other)
    assert f"is signed by key {fingerprint(public)}, trusted are {fingerprint(other)}" in message


def test_a_signature_of_another_bundle(signed: Path, public: str, key: Path, tmp_path: Path) -> None:
    write_colour_bundle(tmp_path / "other", student="other")
    sign_bundle(tmp_path / "other", key)
    shutil.copyfile(tmp_path / "other" / SIGNATURE_FILE, signed / SIGNATURE_FILE)
    assert "does not fit" in refusal(signed, public)


def test_a_key_that_is_claimed_and_not_owned(signed: Path, public: str, tmp_path: Path) -> None:
    new_key(tmp_path / "other.pem")
    sign_bundle(signed, tmp_path / "other.pem")
    line = (signed / SIGNATURE_FILE).read_text()
    (signed / SIGNATURE_FILE).write_text(f"{public} {line.split()[1]}\n")
    assert "does not fit" in refusal(signed, public)


def test_a_forged_manifest_with_all_hashes_put_right(signed: Path, public: str) -> None:
    edit_manifest(signed, logit_scale=6.0)
    reseal(signed)
    assert "does not fit" in refusal(signed, public)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["manifest.json", SIGNATURE_FILE]), where=st.floats(0, 1), bits=st.integers(1, 255))
def test_any_changed_byte_of_manifest_and_signature(
    signed: Path, public: str, name: str, where: float, bits: int
) -> None:
    content = bytearray((signed / name).read_bytes())
    whole = bytes(content)
    content[min(int(where * len(content)), len(content) - 1)] ^= bits
    (signed / name).write_bytes(content)
    try:
        refusal(signed, public)
    finally:
        (signed / name).write_bytes(whole)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), where=st.floats(0, 1), bits=st.integers(1, 255))
def test_any_changed_byte_of_a_file(signed: Path, public: str, data: st.DataObject, where: float, bits: int) -> None:
    files = sorted(path for path in signed.iterdir() if path.name not in ("manifest.json", SIGNATURE_FILE))
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    whole = bytes(content)
    content[min(int(where * len(content)), len(content) - 1)] ^= bits
    file.write_bytes(content)
    try:
        assert "SHA-256" in refusal(signed, public)
    finally:
        file.write_bytes(whole)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.binary(max_size=200))
def test_any_other_content_of_the_signature_file(signed: Path, public: str, line: bytes) -> None:
    (signed / SIGNATURE_FILE).write_bytes(line)
    refusal(signed, public)


@pytest.mark.parametrize("change", [" {}", "{} ", "{}\n", "\n{}", "{}\0"])
def test_a_signature_with_something_beside_it(signed: Path, public: str, change: str) -> None:
    line = (signed / SIGNATURE_FILE).read_text()
    (signed / SIGNATURE_FILE).write_text(change.format(line))
    refusal(signed, public)
    (signed / SIGNATURE_FILE).write_text(line.rstrip("\n"))
    refusal(signed, public)


def test_the_same_signature_written_otherwise(signed: Path, public: str) -> None:
    """Base64's last character has bits that decode to nothing."""
    line = (signed / SIGNATURE_FILE).read_text().rstrip("\n")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    (signed / SIGNATURE_FILE).write_text(line[:-1] + alphabet[alphabet.index(line[-1]) ^ 1] + "\n")
    assert "is no signature" in refusal(signed, public)


# -- files that are none ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [SIGNATURE_FILE, "manifest.json", "student.onnx", "unlisted"])
@pytest.mark.parametrize("kind", ["link", "dead link", "endless link", "pipe", "directory"])
def test_links_pipes_and_directories(signed: Path, public: str, name: str, kind: str) -> None:
    file, away = signed / name, signed.with_name("away")
    if file.exists():
        file.rename(away)
    else:
        away.write_bytes(b"")
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    else:
        file.symlink_to({"link": away, "dead link": "nowhere", "endless link": "/dev/zero"}[kind])
    assert name in refusal(signed, public)


@pytest.mark.parametrize("name", [SIGNATURE_FILE, "manifest.json"])
def test_a_huge_file_is_not_read(signed: Path, public: str, name: str) -> None:
    with (signed / name).open("r+b") as stream:
        stream.truncate(1 << 40)
    assert "more than" in refusal(signed, public)


def test_a_directory_of_very_many_files(signed: Path, public: str) -> None:
    for number in range(100):
        (signed / f"f{number}").touch()
    assert "more than 72 files" in refusal(signed, public)


@pytest.mark.parametrize("missing", ["manifest.json", "."])
def test_what_is_not_there(signed: Path, public: str, missing: str) -> None:
    if missing == ".":
        shutil.rmtree(signed)
    else:
        (signed / missing).unlink()
    assert "No such file" in refusal(signed, public)


# -- keys -------------------------------------------------------------------------------------------------------


def test_a_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    public = new_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert public_key(file) == public
    assert public not in file.read_text()
    with pytest.raises(UserError, match="cannot be made"):
        new_key(file)  # never written over
    file.chmod(0o640)
    with pytest.raises(UserError, match="chmod 600"):
        public_key(file)


def test_what_is_no_private_key(tmp_path: Path, bundle: Path) -> None:
    elliptic = generate_private_key(SECP256R1())
    locked = new_key(tmp_path / "whole.pem") and BestAvailableEncryption(b"secret")
    contents = {
        "empty": b"",
        "text": b"ed25519:abc",
        "curve": elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "locked": elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked),
        "large": b"x" * 5000,
        "half": (tmp_path / "whole.pem").read_bytes()[:60],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    for name in (*contents, "missing"):
        with pytest.raises(UserError, match="edgevl bundle keys new") as caught:
            sign_bundle(bundle, tmp_path / name)
        one_plain_line(str(caught.value))
    assert not (bundle / SIGNATURE_FILE).exists()


@pytest.mark.parametrize(
    "values", [["ed25519:short"], ["unsigned", "unsigned"], ["none"], ["ed25519:" + "A" * 42 + "B"], ["a\nb" * 100]]
)
def test_what_is_no_public_key(values: list[str], public: str) -> None:
    for given_values in (values, [*values, public], [public, "unsigned"]):
        with pytest.raises(UserError, match="is no public key") as caught:
            trusted_keys(given_values)
        one_plain_line(str(caught.value))


def test_empty_and_unsigned_trust_everybody(public: str) -> None:
    assert trusted_keys([]) == trusted_keys(["unsigned"]) == ()
    assert trusted_keys([public]) == (public,)


def test_keys_without_a_library_to_check_with_are_refused(public: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgevl_core.bundle.signature.find_spec", lambda _name: None)
    with pytest.raises(UserError, match="apt install python3-cryptography"):
        trusted_keys([public])
    assert trusted_keys(["unsigned"]) == ()


# -- signing ------------------------------------------------------------------------------------------------------


def test_what_is_damaged_is_not_signed(bundle: Path, key: Path) -> None:
    (bundle / "student.onnx").write_bytes(b"other")
    with pytest.raises(UserError, match="SHA-256"):
        sign_bundle(bundle, key)
    assert not (bundle / SIGNATURE_FILE).exists()


def test_signing_again_replaces_the_signature(signed: Path, public: str, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other.pem")
    assert sign_bundle(signed, tmp_path / "other.pem") == other
    signed_manifest(signed, [other])
    assert fingerprint(other) in refusal(signed, public)


def test_who_trusts_everybody_needs_no_cryptography(signed: Path) -> None:
    program = "import sys; from edgevl_core.bundle.student_bundle import load_bundle; load_bundle(sys.argv[1]); "
    program += "print('cryptography' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program, str(signed)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
