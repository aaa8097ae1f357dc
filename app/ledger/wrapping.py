"""Wraps keys under the key of this installation, which is not where they are kept."""

import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

NONCE = 12


class Wrapping:
    """Keys that encrypt keys (AES-256-GCM), the newest first: it wraps, and all of them unwrap."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """`secrets` are 32 random bytes each, at least one."""
        self._ciphers = {_id(secret): AESGCM(_derived(secret, "wrap/v1")) for secret in secrets}
        self.newest = _id(secrets[0])

    @property
    def ids(self) -> frozenset[bytes]:
        """The ids of all of them."""
        return frozenset(self._ciphers)

    def wrap(self, key: bytes, name: bytes) -> bytes:
        """Encrypt a key under the newest, bound to its name."""
        nonce = os.urandom(NONCE)
        return nonce + self._ciphers[self.newest].encrypt(nonce, key, name)

    def unwrap(self, wrapping: bytes, wrapped: bytes, name: bytes) -> bytes | None:
        """Decrypt a key; None when what wrapped it is not here, or it has another name."""
        cipher = self._ciphers.get(wrapping)
        try:
            return cipher.decrypt(wrapped[:NONCE], wrapped[NONCE:], name) if cipher else None
        except (InvalidTag, ValueError):
            return None


def look_up(secret: bytes, namespace: str, value: str) -> bytes:
    """Return the keyed hash by which an identifier is found; namespaces hold no NUL."""
    text = f"{namespace}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.digest(_derived(secret, "look-up/v1"), text, "sha256")


def _id(secret: bytes) -> bytes:
    return hashlib.sha256(b"parcours ledger key id" + secret).digest()[:8]


def _derived(secret: bytes, use: str) -> bytes:
    info = f"parcours keystore: {use}".encode()
    return HKDFExpand(algorithm=SHA256(), length=32, info=info).derive(secret)
