"""A person who was merged, split, exported and imported again is erased, and stays so.

Nothing is looked up by name: every row of every table is written out as text, every file of the
data directory is read, Parquet decoded, and the markers are looked for, in the clear and hashed.
"""

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.end_to_end.conftest import Receiver
from tests.end_to_end.product import Product, Sender, run_matching, wait_until

GIVEN = {
    "consent": {
        "categoryPreferences": dict.fromkeys(
            ("profile.link", "analytics.audience", "marketing.email"), True
        )
    }
}
ADA = {
    "firstName": "Augusta",
    "lastName": "Byron-Lovelace",
    "birthday": "1815-12-10",
    "nickname": "Enchantress-of-Number",
}
#: Whatever of Ada must be nowhere: as sent, and in its canonical form.
MARKERS = (
    "ada-1815",
    "Ada.Lovelace+shop@Gmail.com",
    "adalovelace@gmail.com",
    "+33142685300",
    "anon-ada-77",
    "crm-ada-9",
    "Enchantress-of-Number",
)
CRM = [
    {"crm_id": "crm-ada-9", "email": "Ada.Lovelace+shop@Gmail.com", "lastName": "B"},
    {"crm_id": "crm-new", "email": " ADALOVELACE@googlemail.com ", "lastName": "Other"},
    {"crm_id": "crm-eve", "email": "eve@example.org", "lastName": "Eve"},
]


def hashed(marker: str) -> set[str]:
    """The forms in which an unkeyed hash of a marker is usually written."""
    out = set()
    for text in {marker, marker.lower(), marker.strip()}:
        for kind in (hashlib.md5, hashlib.sha1, hashlib.sha256):
            out.add(kind(text.encode()).hexdigest())
    return out


SOUGHT = re.compile(
    "|".join(
        re.escape(one)
        for marker in MARKERS
        for one in sorted({marker, json.dumps(marker)[1:-1], *hashed(marker)})
    ),
    re.IGNORECASE,
)


def dump(session: Session) -> Iterator[tuple[str, str]]:
    """Every row of every table, as text."""
    tables = session.scalars(
        sa.text(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
    ).all()
    assert len(tables) > 40
    for table in tables:
        for row in session.scalars(sa.text(f"SELECT CAST(t AS text) FROM {table} t")):  # noqa: S608 -- names from the catalogue
            yield table, row


def files(home: Path) -> Iterator[tuple[str, str]]:
    """Every file of the product but PostgreSQL's own, Parquet decoded; and its logs."""
    for path in home.rglob("*"):
        inside = path.relative_to(home)
        if not path.is_file() or inside.parts[:2] == ("data", "postgres") or "crm" in path.name:
            continue
        yield str(inside), path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield str(inside), repr(pq.read_table(path).to_pylist())
    for log in (home / "data" / "postgres").rglob("*.log"):
        yield str(log), log.read_text("utf-8", "replace")


def found(product: Product) -> set[tuple[str, str]]:
    """Where a marker stands, and which."""
    with product.tables() as session:
        places = [*dump(session), *files(product.home)]
    return {(where, m[0].lower()) for where, text in places for m in SOUGHT.finditer(text)}


def crm_file(product: Product) -> Path:
    path = product.home / "crm.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, CRM[0].keys())
        writer.writeheader()
        writer.writerows(CRM)
    return path


@pytest.fixture
def erased(own_product: Product) -> Product:
    own_product.environment["PARCOURS_ERASURE_GRACE_SECONDS"] = "1"
    own_product.environment["PARCOURS_MATCHING_INTERVAL_SECONDS"] = "3600"
    return own_product


def live(product: Product, receiver: Receiver) -> tuple[httpx.Client, Sender]:
    """Let Ada do everything that leaves a trace, with Bob and a visitor of hers beside her."""
    product.start()
    client, sender = product.add_client(), Sender(product, product.add_source())
    product.add_source("crm")
    client.post(
        "/v1/segments",
        json={"key": "buyers", "name": "B", "purpose": "marketing.email",
              "rule": {"event": "Bought"}},
    ).raise_for_status()  # fmt: skip
    client.post(
        "/v1/destinations",
        json={"name": "mail", "url": receiver.url, "purpose": "marketing.email",
              "segments": ["buyers"]},
    ).raise_for_status()  # fmt: skip
    who = {"anonymousId": "anon-ada-77", "context": GIVEN}
    sender.batch(
        {"type": "page", "name": "Home", **who},
        {"type": "identify", "userId": "ada-1815", "context": GIVEN,
         "anonymousId": "anon-ada-77",
         "traits": {**ADA, "email": "Ada.Lovelace+shop@Gmail.com", "phone": "+33 1 42 68 53 00"}},
        {"type": "track", "event": "Bought", "userId": "ada-1815", "context": GIVEN,
         "properties": {"to": "Augusta Byron-Lovelace", "price": 12.5}},
        {"type": "identify", "userId": "bob-7", "context": GIVEN,
         "traits": {"firstName": "Augusta", "lastName": "Byron-Lovelace", "birthday": "1815-12-10",
                    "email": "bob@example.org", "friend": "ada.lovelace+shop@gmail.com"}},
        {"type": "track", "event": "Bought", "userId": "bob-7", "context": GIVEN},
        {"type": "track", "event": "Invited", "userId": "bob-7", "context": GIVEN,
         "properties": {"friend": "Ada.Lovelace+shop@Gmail.com",
                        "url": "https://shop/?e=Ada.Lovelace%2Bshop%40Gmail.com"}},
        *({"type": "identify", "userId": f"other-{n}", "context": GIVEN,
           "traits": {"firstName": f"N{n}", "lastName": f"L{n}"}} for n in range(5)),
    )  # fmt: skip
    refused = sender.http.post("/v1/track", json={"userId": "ada-1815"})
    assert refused.json()["accepted"] == 0
    sender.settled()
    done = product.run("import", crm_file(product), "--source", "crm", "--consent", "profile.link")
    assert done.returncode == 0, done.stderr
    sender.settled()
    return client, sender


def merge_and_split(client: httpx.Client) -> None:
    """Join Ada with Bob by a decision, take it back, and join them again."""
    for _ in range(2):
        client.post(
            "/v1/identity/constraints",
            json={"left": "user_id:ada-1815", "right": "user_id:bob-7", "kind": "must_link"},
        )
        merges = client.get("/v1/identity/merges").json()["data"]
        for merge in merges:
            if merge["undone_at"] is None and _ == 0:
                client.post(f"/v1/identity/merges/{merge['id']}/undo")


@pytest.mark.long
def test_who_was_merged_split_exported_and_imported_again_is_nowhere_after_an_erasure(
    erased: Product, receiver: Receiver, tmp_path: Path
) -> None:
    client, sender = live(erased, receiver)
    merge_and_split(client)
    run_matching(client)
    wait_until(lambda: receiver.received, 20, what="the destination heard of the buyers")
    access = client.post(
        "/v1/privacy/requests",
        json={"kind": "access", "identifiers": ["user_id:ada-1815"], "attested": "a test"},
    ).json()
    wait_until(
        lambda: client.get(f"/v1/privacy/requests/{access['id']}").json()["packages"],
        30,
        what="the package",
    )
    wait_until(
        lambda: [where for where, _ in found(erased) if where.endswith(".parquet")],
        20,
        what="the lake has the events",
    )
    before = {where for where, _ in found(erased)}
    assert {"app.trait", "consent.record", "identity.identifier", "app.rejected_event"} <= before
    bob = client.get("/v1/profiles/user_id:bob-7?purpose=marketing.email").json()
    heard = len(receiver.received)

    asked = client.post(
        "/v1/privacy/requests",
        json={
            "kind": "erasure",
            # The address too: that a page said whose it is shows nothing (decision 0074).
            "identifiers": [
                "user_id:ada-1815",
                "crm_id:crm-ada-9",
                "email:Ada.Lovelace+shop@Gmail.com",
            ],
            "attested": "a test",
        },
    )
    assert asked.status_code == 201, asked.text
    request = asked.json()["id"]

    def closed() -> dict[str, Any] | None:
        shown: dict[str, Any] = client.get(f"/v1/privacy/requests/{request}").json()
        return shown if shown["state"] == "closed" else None

    answer = wait_until(closed, 60, what="the erasure is done")
    assert found(erased) == set()
    tasks = {task["store"]: task for task in answer["tasks"]}
    assert tasks["tables"]["result"]["events"] >= 4
    assert tasks["lake"]["state"] == "done"
    assert tasks["destination"]["state"] == "done"
    assert tasks["backups"]["state"] == "retained"
    told = receiver.received[heard:]  # of Bob, that he is a person of his own now
    assert {json.loads(one.body)["type"] for one in told} <= {"profile.erased", "segment.entered"}
    assert "profile.erased" in {json.loads(one.body)["type"] for one in told}
    assert not [one for one in told if SOUGHT.search(one.body.decode())]
    # Whoever was joined with her is as before, and is no other for the undo of what is gone.
    after = client.get("/v1/profiles/user_id:bob-7?purpose=marketing.email").json()
    assert after["traits"]["lastName"] == bob["traits"]["lastName"] or after["traits"]
    assert client.get("/v1/profiles/user_id:ada-1815?purpose=marketing.email").status_code == 404
    _nothing_comes_back(erased, client, sender)
    shutil.rmtree(tmp_path, ignore_errors=True)


def _nothing_comes_back(product: Product, client: httpx.Client, sender: Sender) -> None:
    """Neither by an import, nor in another spelling, nor by an undo; others are taken."""
    done = product.cli("import", crm_file(product), "--source", "crm")
    assert done["rejected"] == {"suppressed": 2}
    for merge in client.get("/v1/identity/merges").json()["data"]:
        client.post(f"/v1/identity/merges/{merge['id']}/undo")
    for sent in (
        {"userId": "ada-1815", "event": "Seen"},
        {"anonymousId": "anon-ada-77", "event": "Seen"},
        {"userId": "ada-1815"},
    ):
        said = sender.http.post("/v1/track", json=sent).json()
        assert said["accepted"] == 0
    again = sender.http.post(
        "/v1/identify", json={"userId": "new", "traits": {"email": "ada.LOVELACE@gmail.com"}}
    )
    assert [one["code"] for one in again.json()["rejected"]] == ["suppressed"]
    other = sender.http.post(
        "/v1/identify", json={"userId": "new", "traits": {"email": "grace@example.org"}}
    )
    assert other.json()["accepted"] == 1
    sender.settled()
    assert found(product) == set()
