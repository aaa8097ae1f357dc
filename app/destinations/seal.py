"""Seals what must not stand in the database in clear: secrets of destinations, ids at receivers.

Fernet (AES-128-CBC with HMAC-SHA-256, `cryptography.fernet`), the newest key seals and all open.
Values from before, and those of tests, stand in clear and are read as they are.
"""

import base64
import hmac
import json
from collections.abc import Mapping
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.errors import DestinationKeyUnusable
from app.key_file import KeyFile
from app.settings import Settings

#: The file in the data directory, which the first secret to be sealed creates.
FILE = "destinations.key"
#: What a sealed value begins with: no secret and no address does.
MARK = "sealed:1:"

#: The keys of this process, in a list because they are set at start.
_keys: list[KeyFile] = []


def use(settings: Settings) -> KeyFile:
    """Take the keys from here, from now on. Raises DestinationKeyUnusable."""
    file = settings.home / FILE
    name = "PARCOURS_DESTINATION_KEY"
    _keys[:] = [KeyFile(file, settings.destination_key, name, DestinationKeyUnusable)]
    return _keys[0]


def seal(text: str) -> str:
    """Encrypt; makes the key file where there is none. Raises DestinationKeyUnusable."""
    if not _keys:
        raise DestinationKeyUnusable("nothing says where it is")
    return MARK + _fernet(_keys[0].keys_or_new()).encrypt(text.encode()).decode()


def open_(sealed: str) -> str:
    """Decrypt; raises DestinationKeyUnusable when the key that sealed it is not here."""
    if not sealed.startswith(MARK):
        return sealed
    keys = _keys[0].keys() if _keys else None
    if keys is None:
        raise DestinationKeyUnusable("the key that sealed a secret is not here")
    try:
        return _fernet(keys).decrypt(sealed.removeprefix(MARK).encode()).decode()
    except InvalidToken as error:
        raise DestinationKeyUnusable("a secret was sealed with another key") from error


def seal_all(secrets: Mapping[str, str]) -> str:
    """Encrypt the secrets of one destination."""
    return seal(json.dumps(dict(secrets)))


def open_all(sealed: str) -> dict[str, str]:
    """Decrypt the secrets of one destination; one in clear is a webhook's, from before."""
    if not sealed.startswith(MARK):
        return {"signing_secret": sealed} if sealed else {}
    found: dict[str, str] = json.loads(open_(sealed))
    return found


def hashed(destination_id: int, text: str) -> bytes:
    """Return the keyed hash by which the same id at the same receiver is known again.

    Under the oldest key, so that it stays what it is when a key is added.
    """
    if not _keys:
        raise DestinationKeyUnusable("nothing says where it is")
    return hmac.digest(_keys[0].keys_or_new()[-1], f"{destination_id}\0{text}".encode(), "sha256")


@lru_cache(4)
def _fernet(keys: tuple[bytes, ...]) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
