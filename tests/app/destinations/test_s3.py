"""Files in a bucket of an S3-compatible store: moto's server, as others would read them back."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import duckdb
import httpx
import pyarrow.fs
import pytest

from app.destinations import wire
from app.destinations.file import File, FileSecrets, FileSettings
from app.destinations.guard import Guard
from app.destinations.kind import Record, Setup
from app.destinations.wire import Wire
from tests.end_to_end.product import free_port, wait_until
from tests.end_to_end.sdk.install import python_package

pytestmark = pytest.mark.long

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of a store with one bucket, `cdp`."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(python_package("moto-5.2.5.txt"))}
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return httpx.get(url, trust_env=False).is_success
            return False

        wait_until(answers, 60, what="moto answers")
        _files(url, create=True).create_dir("cdp")
        yield url
        running.terminate()


def _files(url: str, *, create: bool = False) -> pyarrow.fs.S3FileSystem:
    return pyarrow.fs.S3FileSystem(
        access_key="key", secret_key="secret", region="us-east-1", scheme="http",
        endpoint_override=url.removeprefix("http://"), allow_bucket_creation=create,
    )  # fmt: skip


def _setup(url: str, **settings: object) -> Setup:
    made = FileSettings.model_validate({"endpoint": url, "prefix": "crm/", "parts": 1, **settings})
    secrets = FileSecrets(access_key_id="key", secret_access_key="secret")
    return Setup(1, "files", url, "marketing.email", ("pros",), made, secrets)


def _record(n: int, *, holds: bool = True) -> Record:
    return Record(
        "m", "segment.entered", NOW, f"00005131-3e80-86f0-ac74-50817049{n:04x}",
        "hold" if holds else "release", fields={"name": f"É {n}"} if holds else {},
    )  # fmt: skip


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_bucket_holds_who_may_be_had_and_nobody_else(
    store: str, format: str, tmp_path: object
) -> None:
    setup = _setup(store, bucket="cdp", format=format)
    with httpx.Client() as client:
        took = File().send(setup, [_record(1), _record(2), _record(3)], Wire(client))
        took += File().send(setup, [_record(2, holds=False)], Wire(client))
    assert [one.state for one in took] == ["taken"] * 4
    with _files(store).open_input_stream(f"cdp/crm/part-000.{format}") as stream:
        content = stream.read()
    if format == "csv":
        names = [row["name"] for row in csv.DictReader(io.StringIO(content.decode()))]
    else:
        path = f"{tmp_path}/part.parquet"
        with open(path, "wb") as file:
            file.write(content)
        names = [row[0] for row in duckdb.execute("SELECT name FROM read_parquet(?)", [path])
                 .fetchall()]  # fmt: skip
    assert names == ["É 1", "É 3"]


def test_a_bucket_that_is_not_there_and_an_address_inside_are_said_so(store: str) -> None:
    with httpx.Client() as client:
        [one] = File().send(_setup(store, bucket="nobodys"), [_record(1)], Wire(client))
        assert (one.state, one.reason) == ("again", "part-000.csv: OSError")
    with httpx.Client(transport=Guard()) as client:
        [one] = File().send(_setup(store, bucket="cdp"), [_record(1)], Wire(client))
        assert (one.state, one.reason) == ("again", "AddressForbidden")


def test_the_connection_goes_to_the_address_that_was_looked_at(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that nobody knows, taken for public at an address of this machine."""
    monkeypatch.setattr(wire, "public_address", lambda _host, _port: "127.0.0.1")
    named = store.replace("127.0.0.1", "store.test")
    with httpx.Client(transport=Guard()) as client:
        [one] = File().send(_setup(named, bucket="cdp", prefix="x/"), [_record(1)], Wire(client))
    assert one.state == "taken"
