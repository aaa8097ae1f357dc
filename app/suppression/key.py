"""The keyed hash by which an identifier is known without being kept: no database, no settings.

HMAC-SHA-256 (RFC 2104) under a key that HKDF (RFC 5869) derives from one secret. Keyed, because an
e-mail address is guessable, and an unkeyed hash of it as good as the address.
"""

import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: The version of the canonical form that is hashed. It is raised when `identifiers.normalise`
#: writes a value otherwise than before: then what is on the list may not be found any more.
NORMALISER = 2
_KEY_ID = 8
#: Bytes in which SHA-256 takes its input. HMAC from its two halves, which are begun once, takes
#: 0.8 µs where `hmac.digest` takes 2.4.
_BLOCK = 64
_NONCE = 12


class RefKey:
    """One secret and what is derived of it; never printed."""

    def __init__(self, secret: bytes) -> None:
        """`secret` are 32 random bytes."""
        key = _derived(secret, "subject").ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))
        self.id = _derived(secret, "key id")[:_KEY_ID]
        #: Signs what we say to others about data subjects' requests: a number below the order of
        #: the curve P-256 (FIPS 186-5, appendix A.2).
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        number = int.from_bytes(_derived(secret, "signature"), "big") % (order - 1) + 1
        self.signing = ec.derive_private_key(number, ec.SECP256R1())
        self._cipher = AESGCM(_derived(secret, "sealing"))

    def ref(self, namespace: str, value: str) -> bytes:
        """Return the hash of an identifier in its canonical form.

        Names of namespaces hold no NUL, so no two identifiers are written alike.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{namespace}\0{value}".encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return outer.digest()

    def seal(self, text: bytes, about: bytes) -> bytes:
        """Encrypt a text (AES-256-GCM, NIST SP 800-38D), and bind it to what it is about."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, text, about)

    def open(self, sealed: bytes, about: bytes) -> bytes | None:
        """Decrypt; None when anything of it is not as it was sealed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
        except (InvalidTag, ValueError):
            return None


class RefKeys:
    """The keys of an installation, the newest first: it makes new hashes, and all find old ones."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Raises ValueError when there is none."""
        if not secrets:
            raise ValueError("a key is needed")
        self.keys = tuple(RefKey(secret) for secret in secrets)
        self.ids = frozenset(key.id for key in self.keys)

    @property
    def newest(self) -> RefKey:
        """The key that makes new hashes."""
        return self.keys[0]

    def key(self, key_id: bytes) -> RefKey | None:
        """Return the key of this id, None where it is not among these."""
        return next((key for key in self.keys if key.id == key_id), None)

    def refs(self, namespace: str, value: str) -> list[bytes]:
        """Return the hashes of an identifier under each key."""
        return [key.ref(namespace, value) for key in self.keys]


def _derived(secret: bytes, purpose: str) -> bytes:
    info = f"parcours suppression 1: {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)
