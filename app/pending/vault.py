"""Where the keys of held events come from: the setting, or a file in the data directory."""

import base64
import binascii
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from app.errors import HoldKeyUnusable
from app.pending.seal import SECRET, Key, Keyring
from app.settings import Settings

#: The file in the data directory: a key a line in base64, the newest first.
FILE = "hold.key"


class Vault:
    """Gives the keys of this installation; they are never in the database.

    They come from `PARCOURS_HOLD_KEY`, or else from `hold.key` in the data directory, which the
    first event to be held creates. The file is read again when it changes.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises HoldKeyUnusable when the setting is no list of keys."""
        self.path = settings.home / FILE
        self.configured = settings.hold_key is not None
        self._keyring: Keyring | None = None
        self._changed = 0
        if settings.hold_key is not None:
            text = settings.hold_key.get_secret_value().replace(",", "\n")
            self._keyring = _read(text, "PARCOURS_HOLD_KEY")

    @property
    def origin(self) -> str:
        """Where the keys are kept, for a person to read."""
        return "PARCOURS_HOLD_KEY" if self.configured else str(self.path)

    def keyring(self) -> Keyring | None:
        """Return the keys, or None where there is none yet; raises HoldKeyUnusable."""
        if self.configured:
            return self._keyring
        try:
            found = self.path.stat()
            if found.st_mtime_ns != self._changed:
                if stat.S_IMODE(found.st_mode) & 0o077:
                    raise HoldKeyUnusable(f"others may read {self.path}: chmod 600 it")
                self._keyring = _read(self.path.read_text(encoding="ascii"), str(self.path))
                self._changed = found.st_mtime_ns
        except FileNotFoundError:
            self._keyring, self._changed = None, 0
        except (OSError, UnicodeDecodeError) as error:
            raise HoldKeyUnusable(f"{self.path}: {type(error).__name__}") from error
        return self._keyring

    def keyring_for_holding(self) -> Keyring:
        """Return the keys; makes the file where there is none. Raises HoldKeyUnusable."""
        found = self.keyring()
        if found is None:
            self._create()
            found = self.keyring()
        if found is None:
            raise HoldKeyUnusable(f"{self.path} went away")
        return found

    def _create(self) -> None:
        """Write a first key; of several processes that do so at once the first one wins."""
        key = base64.b64encode(secrets.token_bytes(SECRET)).decode()
        ours = self.path.with_name(f".{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(ours, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(key + "\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(ours, self.path)
            _sync(self.path.parent)
        except OSError as error:
            raise HoldKeyUnusable(f"{self.path}: {type(error).__name__}") from error
        finally:
            ours.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make a new file's name durable: without its key what is sealed could never be read."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(text: str, origin: str) -> Keyring:
    """Read keys, the newest first; errors say where, and never what."""
    keys = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        try:
            keys.append(Key(base64.b64decode(line, validate=True)))
        except (ValueError, binascii.Error) as error:
            why = f"key {number} of {origin} is not {SECRET} bytes in base64"
            raise HoldKeyUnusable(why) from error
    if not keys:
        raise HoldKeyUnusable(f"{origin} holds no key")
    return Keyring(keys)
