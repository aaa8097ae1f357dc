"""Where the keys of held events come from: the setting, or a file in the data directory."""

from pathlib import Path

from app.errors import HoldKeyUnusable
from app.key_file import KeyFile
from app.pending.seal import Key, Keyring
from app.settings import Settings

#: The file in the data directory, which the first event to be held creates.
FILE = "hold.key"


class Vault:
    """Gives the keys of this installation; they are never in the database."""

    def __init__(self, settings: Settings) -> None:
        """Raises HoldKeyUnusable when the setting is no list of keys."""
        self._file = KeyFile(
            settings.home / FILE, settings.hold_key, "PARCOURS_HOLD_KEY", HoldKeyUnusable
        )
        self._read: tuple[bytes, ...] | None = None
        self._keyring: Keyring | None = None

    @property
    def path(self) -> Path:
        """The file, whether it is used or not."""
        return self._file.path

    @property
    def configured(self) -> bool:
        """Whether the keys come from the setting."""
        return self._file.configured

    @property
    def origin(self) -> str:
        """Where the keys are kept, for a person to read."""
        return self._file.origin

    def keyring(self) -> Keyring | None:
        """Return the keys, or None where there is none yet; raises HoldKeyUnusable."""
        return self._ring(self._file.keys())

    def keyring_for_holding(self) -> Keyring:
        """Return the keys; makes the file where there is none. Raises HoldKeyUnusable."""
        found = self._ring(self._file.keys_or_new())
        if found is None:
            raise HoldKeyUnusable(f"{self.path} went away")
        return found

    def _ring(self, keys: tuple[bytes, ...] | None) -> Keyring | None:
        if keys is not self._read:
            self._read = keys
            self._keyring = Keyring([Key(key) for key in keys]) if keys else None
        return self._keyring
