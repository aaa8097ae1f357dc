"""The key of one identifier: its references, its commitments, and its sealed texts.

All three end with the key. A reference differs from entry to entry, so that without the key two
entries of one person have nothing in common (research/consent.md 2.8).
"""

import base64
import hmac
import os
import struct
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Bytes of a key and of a nonce.
SECRET, NONCE = 32, 12


class SubjectKey:
    """The key of one identifier and what is derived of it (HKDF, RFC 5869); never printed."""

    def __init__(self, secret: bytes) -> None:
        """`secret` is 32 random bytes; raises ValueError for any other length."""
        if len(secret) != SECRET:
            raise ValueError(f"a key has {SECRET} bytes, not {len(secret)}")
        self._secret = secret

    def reference(self, index: int) -> str:
        """Return the reference by which the entry at this index names the identifier."""
        return _base64(hmac.digest(self._references, struct.pack(">q", index), "sha256"))

    def commitment(self, index: int, body: bytes) -> str:
        """Return the commitment of the entry at this index to its readable text."""
        return _base64(hmac.digest(self.opening(index), body, "sha256"))

    def opening(self, index: int) -> bytes:
        """Return the key that opens the commitment of one entry, and of no other."""
        return hmac.digest(self._commitments, struct.pack(">q", index), "sha256")

    def seal(self, body: bytes, entry: bytes) -> bytes:
        """Encrypt a text (AES-256-GCM, NIST SP 800-38D), and bind it to its entry."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, body, entry)

    def open(self, sealed: bytes, entry: bytes) -> bytes | None:
        """Decrypt; None when anything of the text or of its entry is not as it was sealed."""
        try:
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], entry)
        except (InvalidTag, ValueError):
            return None

    @cached_property
    def _references(self) -> bytes:
        return self._derived("subject/v1")

    @cached_property
    def _commitments(self) -> bytes:
        return self._derived("commitment/v1")

    @cached_property
    def _cipher(self) -> AESGCM:
        return AESGCM(self._derived("seal/v1"))

    def _derived(self, use: str) -> bytes:
        # One block of HKDF-Expand (RFC 5869 section 2.3), at a tenth of the price of a general one.
        return hmac.digest(self._secret, f"parcours ledger: {use}\x01".encode(), "sha256")


def _base64(found: bytes) -> str:
    return base64.b64encode(found).decode()
