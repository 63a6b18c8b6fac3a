"""``edgevl bundle keys``, ``sign`` and ``verify --key``: from a key to a bundle that a robot takes."""

from pathlib import Path

import pytest

from tests.cli.command import edgevl, refusal
from tests.core.tiny import write_colour_bundle

pytestmark = pytest.mark.unit


def test_from_a_key_to_a_bundle_that_is_taken(tmp_path: Path) -> None:
    bundle, key = tmp_path / "bundle", tmp_path / "key.pem"
    write_colour_bundle(bundle)
    made = edgevl("bundle", "keys", "new", key)
    public = made.stdout.strip()
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.splitlines()) == 1
    assert edgevl("bundle", "keys", "show", key).stdout.strip() == public
    assert "is not signed" in refusal("bundle", "verify", bundle, "--key", public)
    signed = edgevl("bundle", "sign", bundle, "--key", key)
    assert signed.returncode == 0, signed.stderr
    assert public in signed.stdout
    verified = edgevl("bundle", "verify", bundle, "--key", public)
    assert verified.returncode == 0, verified.stderr
    assert "signed by a key that was given" in verified.stdout
    assert "not checked: who signed it" in edgevl("bundle", "verify", bundle).stdout
    other = edgevl("bundle", "keys", "new", tmp_path / "other.pem").stdout.strip()
    assert "is signed by key" in refusal("bundle", "verify", bundle, "--key", other)
    assert edgevl("bundle", "verify", bundle, "--key", other, "--key", public).returncode == 0


def test_wrong_keys_are_one_line(tmp_path: Path) -> None:
    bundle, key = tmp_path / "bundle", tmp_path / "key.pem"
    write_colour_bundle(bundle)
    assert "is no public key" in refusal("bundle", "verify", bundle, "--key", "abc")
    assert "cannot be used" in refusal("bundle", "sign", bundle, "--key", key)
    assert edgevl("bundle", "keys", "new", key).returncode == 0
    assert "cannot be made" in refusal("bundle", "keys", "new", key)
    assert "is not a student bundle" in refusal("bundle", "sign", tmp_path, "--key", key)
