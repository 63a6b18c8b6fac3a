"""Who made a bundle: an Ed25519 signature over the bytes of its manifest, which holds the hash of every other file.

``signature.txt`` in the bundle is one line, ``<public key> <signature>``, both base64url. It is looked at before
anything of the bundle is parsed. Signing: :mod:`edgevl_core.bundle.signing`.
"""

import base64
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.manifest import MANIFEST_FILE, MAX_FILES, MAX_MANIFEST_BYTES

SIGNATURE_FILE = "signature.txt"
UNSIGNED = "unsigned"
_PREFIX = "ed25519:"
_KEY = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}")
_LINE = re.compile(rf"({_KEY.pattern}) ([A-Za-z0-9_-]{{86}})\n")
_LINE_BYTES = len(_PREFIX) + 43 + 1 + 86 + 1
_MOST_ENTRIES = MAX_FILES + 8  # manifest, signature, what an editor or a file manager leaves


def as_text(public_key: bytes) -> str:
    """A public key (32 bytes) as the one word that parameters and command lines take."""
    return _PREFIX + encoded(public_key)


def fingerprint(key: str) -> str:
    """16 hexadecimal digits that name a public key in messages: of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(_decoded(key.removeprefix(_PREFIX))).hexdigest()[:16]


def trusted_keys(values: Sequence[str]) -> tuple[str, ...]:
    """The public keys of a parameter ``trust`` or of ``--key``; empty: every bundle is taken, signed or not.

    Raises:
        UserError: something that is no public key, or "unsigned" beside keys; no library to check signatures with.
    """
    if list(values) in ([], [UNSIGNED]):
        return ()
    for value in values:
        if not _KEY.fullmatch(value) or encoded(_decoded(value.removeprefix(_PREFIX))) != value.removeprefix(_PREFIX):
            shown = one_line(value, 80)
            raise UserError(
                f"trust: {shown!r} is no public key: accepted are {UNSIGNED} alone, or lines that "
                "`edgevl bundle keys new` prints (ed25519: and 43 characters)"
            )
    if not find_spec("cryptography"):
        raise UserError("trust: signatures need cryptography, not installed here: apt install python3-cryptography")
    return tuple(values)


def signed_manifest(bundle: Path | str, trusted: Sequence[str]) -> bytes:
    """The bytes of ``manifest.json``, signed by one of the ``trusted`` keys; only the signature's line is parsed.

    Raises:
        UserError: unsigned, signed by another key, changed since, or it holds links or things that are no files.
    """
    bundle = Path(bundle)
    _check_entries(bundle)
    manifest = _content(bundle / MANIFEST_FILE, MAX_MANIFEST_BYTES)
    accepted = ", ".join(map(fingerprint, trusted))
    if not os.path.lexists(bundle / SIGNATURE_FILE):
        raise _refused(bundle, f"is not signed, trusted are the keys {accepted}: sign it where it was made")
    key, signature = _line(bundle)
    if not _fits(key, signature, manifest):
        raise _refused(bundle, "its signature does not fit its manifest, changed since or forged: copy it again")
    if key not in trusted:
        raise _refused(bundle, f"is signed by key {fingerprint(key)}, trusted are {accepted}: sign it by one of those")
    return manifest


def _line(bundle: Path) -> tuple[str, bytes]:
    """The public key that a bundle says it is signed by, and the signature (64 bytes)."""
    content = _content(bundle / SIGNATURE_FILE, _LINE_BYTES)
    found = _LINE.fullmatch(content.decode("ascii", "replace"))
    if found is None or f"{found[1]} {encoded(_decoded(found[2]))}\n".encode() != content:
        raise _refused(bundle, f"its {SIGNATURE_FILE} is no signature: sign or copy the bundle again")
    return found[1], _decoded(found[2])


def _fits(key: str, signature: bytes, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # a robot that trusts every bundle never loads it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(_decoded(key.removeprefix(_PREFIX))).verify(signature, content)
    except (InvalidSignature, ValueError):  # ValueError: the bytes are no point of the curve
        return False
    return True


def _check_entries(bundle: Path) -> None:
    """A link could show one file now and another one later."""
    try:
        with os.scandir(bundle) as entries:
            for number, entry in enumerate(entries):
                if number >= _MOST_ENTRIES:
                    raise _refused(bundle, f"holds more than {_MOST_ENTRIES} files: it is no bundle")
                if not entry.is_file(follow_symlinks=False):
                    name = one_line(entry.name, 80)
                    raise _refused(bundle, f"{name} is no plain file: copy the bundle, links followed (cp -rL)")
    except OSError as error:
        raise _refused(bundle, f"cannot be read ({error.strerror}): pass the directory of a bundle") from error


def _content(path: Path, most: int) -> bytes:
    """A plain file of at most ``most`` bytes; never waits, as for a pipe, and follows no link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror}): copy the bundle again") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _refused(path, "is no plain file: copy the bundle again")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise _refused(path, f"has more than {most} bytes, which are accepted: copy or make the bundle again")
    return content


def _refused(path: Path, why: str) -> UserError:
    return UserError(one_line(f"{one_line(str(path), 200)}: {why}"))


def encoded(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
