"""CSV or Parquet files in a directory or an S3-compatible store: who may be had now, and no more.

The files are a copy of the present, in parts by profile id. A batch rewrites the parts that it
touches, so that who leaves, withdraws or is erased is in no file afterwards; a record that comes
again ends in the same row. Nothing else may write there.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

import httpx
from pydantic import Field

from app.destinations.folders import folder
from app.destinations.kind import Kind, Options, Outcome, Record, Setup
from app.destinations.wire import NOT_TRIED, Wire

#: Columns that every file has; a field may not be called so.
OWN = ("profile_id", "identifiers", "segments", "updated_at")


def forget(settings: Mapping[str, Any], profile_ids: Collection[str]) -> None:
    """Take profiles out of the files of a directory, whatever `send` would say of them."""
    checked = FileSettings.model_validate(settings)
    parts = defaultdict(set)
    for profile_id in profile_ids:
        parts[folder(checked.directory or "") / _part(checked, profile_id)].add(profile_id)
    there = {path: gone for path, gone in parts.items() if path.exists()}
    if there:
        files = import_module("app.destinations.file_parts")
        for path, gone in there.items():
            files.rewrite(files.LOCAL, str(path), checked.format, dict.fromkeys(gone))


class FileSettings(Options):
    """Where the files are."""

    directory: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
        description="A folder of the server's data directory, under `exports`; or a bucket:",
    )
    bucket: str | None = Field(default=None, max_length=255, pattern=r"^[a-z0-9][a-z0-9.-]+$")
    prefix: str = Field(default="", max_length=500, pattern=r"^([A-Za-z0-9_-]+/)*$")
    endpoint: str = Field(
        default="https://s3.amazonaws.com",
        max_length=2048,
        pattern="^https?://",
        description="Of the S3-compatible store.",
    )
    region: str = Field(default="us-east-1", max_length=50)
    format: Literal["csv", "parquet"] = "csv"
    parts: int = Field(
        default=16, ge=1, le=256, description="Files; more where there are many people."
    )


class FileSecrets(Options):
    """What the store knows us by; a directory asks for none."""

    access_key_id: str = Field(default="", max_length=200)
    secret_access_key: str = Field(default="", max_length=500)


class File(Kind):
    """Files in a directory or an S3-compatible store."""

    name = "file"
    about = "CSV or Parquet files of who may be had now, in a directory or an S3-compatible store."
    settings = FileSettings
    secrets = FileSecrets
    places = frozenset({"directory", "bucket", "prefix", "endpoint", "format", "parts"})
    own = frozenset(OWN)
    batch = 1_000

    def address(self, settings: Any) -> str:
        """Return where the files are."""
        if settings.directory:
            return f"file:///{settings.directory}"
        return f"{settings.endpoint}/{settings.bucket}/{settings.prefix}"

    def check(self, settings: Any, segments: Sequence[str]) -> None:
        """Check that there is one place."""
        if (settings.directory is None) == (settings.bucket is None):
            raise ValueError("name a directory or a bucket")

    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return the rows, and the ids of those that go, with the file of each."""
        return [
            {"file": _part(setup.settings, record.profile_id)}
            | ({"row": _row(record)} if record.intent == "hold" else {"gone": record.profile_id})
            for record in records
        ]

    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Rewrite the parts that the batch touches; a part that cannot be written fails alone."""
        # Arrow takes .35 s and 50 MB, in the one process that writes files.
        files = import_module("app.destinations.file_parts")
        try:
            store, base = files.store(setup, wire)
        except (OSError, ValueError, httpx.HTTPError) as error:
            return [Outcome("again", type(error).__name__)] * len(records)
        parts: dict[str, list[int]] = defaultdict(list)
        for n, record in enumerate(records):
            parts[_part(setup.settings, record.profile_id)].append(n)
        outcomes: dict[int, Outcome] = {}
        for name, numbers in parts.items():
            if wire.late:
                outcomes |= dict.fromkeys(numbers, Outcome("again", NOT_TRIED))
                continue
            wrong = {
                n
                for n in numbers
                if records[n].intent == "hold" and any(one in OWN for one in records[n].fields)
            }
            rows = {
                records[n].profile_id: _row(records[n]) if records[n].intent == "hold" else None
                for n in numbers
                if n not in wrong
            }
            try:
                files.rewrite(store, f"{base}{name}", setup.settings.format, rows)
                done = Outcome("taken")
            except (OSError, ValueError) as error:
                done = Outcome("again", f"{name}: {type(error).__name__}")
            for n in numbers:
                holds = records[n].intent == "hold"
                remote = records[n].profile_id if holds else ""
                outcomes[n] = done if done.state != "taken" else Outcome("taken", remote=remote)
                if n in wrong:
                    outcomes[n] = Outcome("refused", f"a field is called {', '.join(OWN)}")
        return [outcomes[n] for n in range(len(records))]


def _part(settings: Any, profile_id: str) -> str:
    number = int(profile_id.replace("-", "")[-8:], 16) % settings.parts
    return f"part-{number:03}.{settings.format}"


def _row(record: Record) -> dict[str, Any]:
    return {
        "profile_id": record.profile_id,
        "identifiers": json.dumps(
            {space: list(values) for space, values in record.identifiers.items()}
        ),
        "segments": json.dumps(sorted(record.segments)),
        "updated_at": record.occurred_at.isoformat(),
        **{name: _plain(value) for name, value in record.fields.items()},
    }


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | Mapping) else value
