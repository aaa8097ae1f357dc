"""Secret keys that are never in the database: from a setting, or from a file in the data directory.

A key a line in base64 (in the setting: separated by commas), the newest first.
"""

import base64
import binascii
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from app.errors import AppError

#: Bytes of a key.
SECRET = 32


class KeyFile:
    """The keys of one kind of this installation. The file is read again when it changes."""

    def __init__(
        self, path: Path, configured: SecretStr | None, setting: str, unusable: type[AppError]
    ) -> None:
        """`unusable` is raised, here and later, when keys cannot be used; it says where, not what.

        `setting` is the name of the environment variable that `configured` came from.
        """
        self.path = path
        self.configured = configured is not None
        self._setting = setting
        self._unusable = unusable
        self._keys: tuple[bytes, ...] | None = None
        self._changed = 0
        if configured is not None:
            self._keys = self._read(configured.get_secret_value().replace(",", "\n"))

    @property
    def origin(self) -> str:
        """Where the keys are kept, for a person to read."""
        return self._setting if self.configured else str(self.path)

    def keys(self) -> tuple[bytes, ...] | None:
        """Return the keys, the same object while nothing changes; None where there is none yet."""
        if self.configured:
            return self._keys
        try:
            found = self.path.stat()
            if found.st_mtime_ns != self._changed:
                if stat.S_IMODE(found.st_mode) & 0o077:
                    raise self._unusable(f"others may read {self.path}: chmod 600 it")
                self._keys = self._read(self.path.read_text(encoding="ascii"))
                self._changed = found.st_mtime_ns
        except FileNotFoundError:
            self._keys, self._changed = None, 0
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(f"{self.path}: {type(error).__name__}") from error
        return self._keys

    def keys_or_new(self) -> tuple[bytes, ...]:
        """Return the keys; makes the file where there is none."""
        found = self.keys()
        if found is None:
            self._create()
            found = self.keys()
        if found is None:
            raise self._unusable(f"{self.path} went away")
        return found

    def _create(self) -> None:
        """Write a first key; of several processes that do so at once the first one wins."""
        key = base64.b64encode(secrets.token_bytes(SECRET)).decode()
        unique = f".{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}"
        ours = self.path.with_name(unique)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(ours, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(key + "\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(ours, self.path)
            sync_folder(self.path.parent)  # without its key what is sealed could never be read
        except OSError as error:
            raise self._unusable(f"{self.path}: {type(error).__name__}") from error
        finally:
            ours.unlink(missing_ok=True)

    def _read(self, text: str) -> tuple[bytes, ...]:
        """Read keys, the newest first."""
        keys = []
        for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
            why = f"key {number} of {self.origin} is not {SECRET} bytes in base64"
            try:
                key = base64.b64decode(line, validate=True)
            except (ValueError, binascii.Error) as error:
                raise self._unusable(why) from error
            if len(key) != SECRET:
                raise self._unusable(why)
            keys.append(key)
        if not keys:
            raise self._unusable(f"{self.origin} holds no key")
        return tuple(keys)


def sync_folder(folder: Path) -> None:
    """Make a new file's name outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
