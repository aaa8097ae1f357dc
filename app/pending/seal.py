"""Seals what may not be read yet: authenticated encryption and keyed hashes, and no database.

AES-256-GCM (NIST SP 800-38D) under keys that HKDF (RFC 5869) derives from one secret, a new one for
each day, so that random nonces stay far below the 2^32 of section 8.3. What stands in clear beside
a sealed event is bound to it as associated data: moved to another source or given a longer life,
it no longer opens.
"""

import hmac
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: Bytes of a secret, and of its nonces, key ids and hashes.
SECRET, NONCE, KEY_ID, HASH = 32, 12, 8, 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Ciphers kept: events are opened within their stated time, hence of few days.
_DAYS = 64


@dataclass(frozen=True, slots=True)
class Label:
    """What stands in clear beside a sealed event, and is bound to it."""

    source_id: int
    message: bytes
    received_at: datetime
    expires_at: datetime

    def encoded(self) -> bytes:
        """Return it as bytes, in which no two labels are alike."""
        times = (_microseconds(self.received_at), _microseconds(self.expires_at))
        return struct.pack(">qqq", self.source_id, *times) + self.message


class Key:
    """One secret and what is derived of it; never printed."""

    def __init__(self, secret: bytes) -> None:
        """`secret` is 32 random bytes; raises ValueError for any other length."""
        if len(secret) != SECRET:
            raise ValueError(f"a key has {SECRET} bytes, not {len(secret)}")
        self._secret = secret
        self._messages = self._derived("message")
        self._subjects = self._derived("subject")
        self._ciphers: dict[date, AESGCM] = {}
        self.id = self._derived("key id")[:KEY_ID]

    def message(self, message_id: str) -> bytes:
        """Return the keyed hash by which the same message is known again."""
        return hmac.digest(self._messages, _utf8(message_id), "sha256")[:HASH]

    def subject(self, namespace: str, value: str) -> bytes:
        """Return the keyed hash by which the events of one identifier are found.

        Names of namespaces hold no NUL, so no two identifiers are written alike.
        """
        return hmac.digest(self._subjects, _utf8(f"{namespace}\0{value}"), "sha256")[:HASH]

    def seal(self, plain: bytes, label: Label) -> bytes:
        """Encrypt, and bind to the label."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher(label).encrypt(nonce, plain, label.encoded())

    def open(self, sealed: bytes, label: Label) -> bytes | None:
        """Decrypt; None when anything of it or of its label is not as it was sealed."""
        try:
            return self._cipher(label).decrypt(sealed[:NONCE], sealed[NONCE:], label.encoded())
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, label: Label) -> AESGCM:
        day = label.received_at.astimezone(UTC).date()
        found = self._ciphers.get(day)
        if found is None:
            if len(self._ciphers) >= _DAYS:
                self._ciphers.clear()
            found = self._ciphers[day] = AESGCM(self._derived(f"seal {day.isoformat()}"))
        return found

    def _derived(self, purpose: str) -> bytes:
        info = f"parcours hold 1: {purpose}".encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._secret)


class Keyring:
    """The keys of an installation, the newest first: it seals, and all of them open."""

    def __init__(self, keys: Sequence[Key]) -> None:
        """Raises ValueError when there is no key."""
        if not keys:
            raise ValueError("a key is needed")
        self.keys = tuple(keys)
        self._by_id = {key.id: key for key in keys}

    @property
    def newest(self) -> Key:
        """The key that seals."""
        return self.keys[0]

    @property
    def ids(self) -> frozenset[bytes]:
        """The ids of all keys."""
        return frozenset(self._by_id)

    def subjects(self, namespace: str, value: str) -> list[bytes]:
        """Return the hashes of an identifier under each key."""
        return [key.subject(namespace, value) for key in self.keys]

    def open(self, key_id: bytes, sealed: bytes, label: Label) -> bytes | None:
        """Decrypt with the key that sealed it; None when it is not here or does not fit."""
        key = self._by_id.get(key_id)
        return key.open(sealed, label) if key else None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _microseconds(at: datetime) -> int:
    """Return a time as the database keeps it, exactly: a float would round."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
