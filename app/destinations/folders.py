"""Where the directories of files lie that the product itself writes."""

from pathlib import Path

from app.settings import Settings

FOLDER = "exports"
#: In the data directory; in a list because it is set at start.
_home: list[Path] = []


def use(settings: Settings) -> None:
    """Let directories lie in the data directory of these settings, from now on."""
    _home[:] = [settings.home / FOLDER]


def folder(directory: str) -> Path:
    """Return where a directory lies; raises ValueError before `use`."""
    if not _home:
        raise ValueError("no data directory is known")
    return _home[0] / directory
