"""Receivers of every kind, and what each holds of whom: read back by other means than wrote it."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from app.settings import Settings
from tests.app.destinations.crm_hubspot_brevo import BrevoApi, HubSpotApi
from tests.app.destinations.crm_salesforce_mautic import MauticApi, SalesforceApi
from tests.app.destinations.crm_server import Crm, serving

#: By whom a record is of: what it says, without what is empty.
Holds = dict[str, dict[str, Any]]
KINDS = ("webhook", "segment", "hubspot", "brevo", "salesforce", "mautic", "file", "postgres")
SEGMENTS = ("pros", "locals")
PLAIN = {"email": {"identifier": "email"}, "first_name": {"trait": "first_name"},
         "pros": {"segment": "pros"}}  # fmt: skip
NAMES = {
    "hubspot": ("email", "firstname", "lastname", "pros"),
    "brevo": ("EMAIL", "FIRSTNAME", "LASTNAME", "PROS"),
    "salesforce": ("Email", "FirstName", "LastName", "Pros__c"),
    "mautic": ("email", "firstname", "lastname", "pros"),
}


@dataclass
class Copy:
    """One receiver: how a destination is told of it, and what it has taken, by whoever asks."""

    wanted: dict[str, Any]
    kind: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    crm: Crm | None = None
    folder: Path | None = None
    database: str = ""
    table: str = ""

    def holds(self) -> Holds:
        """Return what is held of whom; who was emptied is held no more."""
        if self.crm is not None:
            return _of_crm(self.crm)
        if self.folder is not None:
            return _of_files(self.folder)
        if self.database:
            return _of_table(self.database, self.table)
        return of_calls(self.messages) if self.kind == "segment" else of_webhooks(self.messages)


@contextmanager
def receiving(kind: str, settings: Settings, warehouse: str) -> Iterator[Copy]:
    """Serve a receiver of a kind that holds nothing yet."""
    name = f"copy_{uuid4().hex[:8]}"
    if kind in NAMES:
        email, first, last, pros = NAMES[kind]
        apis: tuple[type[Crm], ...] = (HubSpotApi, BrevoApi, SalesforceApi, MauticApi)
        with serving({api.kind: api for api in apis}[kind]()) as crm:
            lists = {"lists": {"pros": 7, "locals": 8}} if kind == "brevo" else {}
            fields = {
                email: {"identifier": "email"}, first: {"trait": "first_name"},
                last: {"trait": "last_name"}, pros: {"segment": "pros"},
            }  # fmt: skip
            more = {"secrets": crm.secrets, "mapping": fields, "rate": 1000}
            yield Copy({"settings": {"url": crm.url, **lists}, **more}, kind, crm=crm)
    elif kind == "file":
        where: dict[str, Any] = {"directory": name, "format": "csv", "parts": 2}
        folder = settings.home / "exports" / name
        yield Copy({"settings": where, "mapping": PLAIN}, kind, folder=folder)
    elif kind == "postgres":
        url = sa.make_url(warehouse)
        where = {"host": url.query["host"], "database": url.database, "user": url.username,
                 "tls": False, "table": name}  # fmt: skip
        wanted = {"settings": where, "secrets": {"password": "x"}, "mapping": PLAIN}
        yield Copy(wanted, kind, database=warehouse, table=name)
    else:
        more = {"secrets": {"write_key": "wk"}, "mapping": PLAIN} if kind == "segment" else {}
        with _listening() as (address, messages):
            yield Copy({"url": address, **more}, kind, messages)


@contextmanager
def _listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    messages: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            messages.append({"id": self.headers.get("webhook-id"), **json.loads(body)})
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", messages
        server.shutdown()
        thread.join()


def of_webhooks(messages: list[dict[str, Any]]) -> Holds:
    """Fold messages as docs/crm-and-marketing.md tells a receiver to keep a copy."""
    held: Holds = {}
    seen: set[str] = set()
    for message in messages:
        if message["id"] in seen:
            continue
        seen.add(message["id"])
        data = message["data"]
        who = data["profile_id"]
        if message["type"] in ("segment.entered", "profile.updated"):
            known = {space: sorted(values) for space, values in data["identifiers"].items()}
            held[who] = {"identifiers": known, "segments": sorted(data["segments"])}
        elif message["type"] == "segment.exited" and data["segments"]:
            held[who]["segments"] = sorted(data["segments"])
        elif message["type"] in ("segment.exited", "profile.erased"):
            held.pop(who, None)
    return held


def of_calls(messages: list[dict[str, Any]]) -> Holds:
    """Return what identify calls have left of each user, and the ids that the last call named."""
    held: Holds = {}
    seen: set[str] = set()
    for message in messages:
        for call in message["batch"]:
            if call["messageId"] in seen:  # as Segment does
                continue
            seen.add(call["messageId"])
            who = call.get("userId") or f"anonymous:{call['anonymousId']}"
            one = held.setdefault(who, {"ids": []})
            one.update(call.get("traits", {}))
            ids = call["context"].get("externalIds", [])
            one["ids"] = sorted(f"{i['type']}:{i['id']}" for i in ids)
    return {who: some for who, one in held.items() if (some := _some(one))}


def _some(one: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in one.items() if v not in (None, "", False, "false", [], set())}


def _of_crm(crm: Crm) -> Holds:
    """Return contacts of whom more is there than what a CRM demands of each."""
    held: Holds = {}
    for number, contact in crm.contacts.items():
        some = _some(contact)
        key = "Parcours_Id__c" if crm.kind == "salesforce" else "email"
        who = some.pop(key, number)
        if some.get("LastName") == "-":
            del some["LastName"]
        some = {k: sorted(v) if isinstance(v, set) else v for k, v in some.items()}
        if some:
            assert who not in held, "two contacts of one address"
            held[str(who)] = some
    return held


def _of_files(folder: Path) -> Holds:
    held: Holds = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as opened:
            for row in csv.DictReader(opened):
                held[row.pop("profile_id")] = _row(row)
    return held


def _of_table(url: str, table: str) -> Holds:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        columns = sa.select(sa.text("*")).select_from(sa.table(table, schema="parcours"))
        rows = connection.execute(columns).mappings()
        held = {str(row["profile_id"]): _row(dict(row)) for row in rows}
    engine.dispose()
    return {who: {k: v for k, v in row.items() if k != "profile_id"} for who, row in held.items()}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without when it was written, its lists in order."""
    said = {k: json.loads(v) if k in ("identifiers", "segments") and isinstance(v, str) else v
            for k, v in row.items() if k != "updated_at"}  # fmt: skip
    said["identifiers"] = {k: sorted(v) for k, v in said["identifiers"].items()}
    return _some(said)
