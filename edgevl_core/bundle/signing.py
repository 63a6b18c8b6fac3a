"""Signing bundles: where the private key is, a workstation or a robot that adapts itself."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.manifest import MANIFEST_FILE
from edgevl_core.bundle.signature import SIGNATURE_FILE, as_text, encoded, signed_manifest
from edgevl_core.bundle.student_bundle import load_words

_MAX_KEY_BYTES = 4096


def new_key(file: Path | str) -> str:
    """Make a key pair: the private key goes to ``file`` (PEM, mode 0600), the public key, one word, is returned.

    Raises:
        UserError: ``file`` exists, or cannot be written.
    """
    file, key = Path(file).expanduser(), Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UserError(f"key file {file} cannot be made ({error.strerror}): choose another name") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        file.unlink(missing_ok=True)
        raise UserError(
            f"key file {file} cannot be written ({error.strerror}): make room, or choose another"
        ) from error
    return _public_text(key)


def public_key(file: Path | str) -> str:
    """The public key, one word, of a private key file. Raises UserError: see :func:`check_key`."""
    return _public_text(_private_key(file))


def check_key(file: Path | str) -> None:
    """Whether one can sign with it, before anything slow is done.

    Raises:
        UserError: no private Ed25519 key, or others than its owner may read it.
    """
    _private_key(file)


def sign_bundle(bundle: Path | str, key_file: Path | str, check: Callable[[Path], object] = load_words) -> str:
    """Sign a bundle whose files are what its manifest says; an earlier signature is replaced. The public key.

    ``check``: what looks at the files and raises; another one for other directories with a manifest.

    Raises:
        UserError: the bundle is damaged or holds links, the key cannot be used.
    """
    bundle, key = Path(bundle), _private_key(key_file)
    check(bundle)
    public = _public_text(key)
    try:
        manifest = (bundle / MANIFEST_FILE).read_bytes()
        atomic_write(bundle / SIGNATURE_FILE, f"{public} {encoded(key.sign(manifest))}\n".encode())
    except OSError as error:
        raise UserError(f"{bundle} cannot be signed ({error.strerror}): make the directory writable") from error
    if signed_manifest(bundle, [public]) != manifest:
        raise UserError(f"{bundle}: its manifest changed while it was signed: sign it again when nobody writes to it")
    return public


def _private_key(file: Path | str) -> Ed25519PrivateKey:
    file = Path(file).expanduser()
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_KEY_BYTES:
            raise ValueError("no small plain file")
        if found.st_mode & 0o077:
            raise UserError(f"key file {file} may be read by others (mode {found.st_mode & 0o777:o}): chmod 600 it")
        key = load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it wants a password
        reason = one_line(str(getattr(error, "strerror", None) or error), 120)
        raise UserError(f"key file {file} cannot be used ({reason}): make one with `edgevl bundle keys new`") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"key file {file} holds no Ed25519 key: make one with `edgevl bundle keys new`")
    return key


def _public_text(key: Ed25519PrivateKey) -> str:
    return as_text(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
