"""The recipes of docs/tools.md, as they stand there, against a running product."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from tests.end_to_end.conftest import Receiver
from tests.end_to_end.product import Product, free_port, wait_until
from tests.end_to_end.sdk.install import python_package
from tests.end_to_end.sdk.proxy import faulty
from tests.test_docs import ROOT, blocks

pytestmark = pytest.mark.long

PAGE = ROOT / "docs" / "tools.md"
EMAIL = "marketing.email"
AGREES = {"consent": {"categoryPreferences": {EMAIL: True, "profile.link": True}}}
REFUSES = {"consent": {"categoryPreferences": {EMAIL: False}}}


def send(product: Product, key: str, *events: dict[str, Any]) -> None:
    body = {"batch": [{"context": AGREES, **event} for event in events], "writeKey": key}
    httpx.post(f"{product.url}/v1/batch", json=body).raise_for_status()


def person(user: str, *, context: Any = AGREES, **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "traits": traits, "context": context}


def client(product: Product) -> dict[str, str]:
    scopes = [f"--scope={one}" for one in ("profiles:read", "segments:read", "segments:write")]
    made: dict[str, str] = product.cli("client", "add", "dlt", *scopes, f"--purpose={EMAIL}")
    return made


def load(recipe: str, home: Path, url: str, made: dict[str, str]) -> dict[str, int]:
    """Run the recipe for dlt, and return how many rows came of each table."""
    script = home / "recipe.py"
    script.write_text(recipe, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        env={
            "PATH": os.environ["PATH"], "DLT_DATA_DIR": str(home),
            "PYTHONPATH": str(python_package("dlt-1.31.0.txt")), "CDP_URL": url,
            "CLIENT_ID": made["client_id"], "CLIENT_SECRET": made["client_secret"],
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        },
        cwd=home, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    counts: dict[str, int] = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    return counts


def loaded(home: Path, query: str) -> list[Any]:
    """Ask what the recipe has loaded."""
    with duckdb.connect(str(home / "parcours.duckdb"), read_only=True) as copy:
        return copy.execute(query).fetchall()


def test_dlt_loads_everything_and_then_only_what_changed(
    product: Product, tmp_path: Path, record_property: Any
) -> None:
    recipe = blocks(PAGE, "python")[0]
    made = client(product)
    answer = httpx.post(f"{product.url}/oauth/token", data={"grant_type": "client_credentials"},
                        auth=(made["client_id"], made["client_secret"]))  # fmt: skip
    header = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def get(path: str, **asked: Any) -> Any:
        asked = {"purpose": EMAIL, **asked}
        return httpx.get(f"{product.url}/v1/{path}", params=asked, headers=header).json()

    def run() -> dict[str, int]:
        return load(recipe, tmp_path, product.url, made)

    def table(query: str) -> list[Any]:
        return loaded(tmp_path, query)

    body = {"key": "buyers", "name": "Buyers", "purpose": EMAIL, "rule": {"event": "Bought"}}
    httpx.post(f"{product.url}/v1/segments", json=body, headers=header).raise_for_status()
    key = product.add_source()
    send(product, key, *(person(f"u{n}", city=f"city {n}") for n in range(30)))
    send(product, key, *({"type": "track", "event": "Bought", "userId": f"u{n}"} for n in range(9)))
    send(product, key, {"type": "identify", "anonymousId": "d-1", "traits": {"seen": 1}})
    wait_until(lambda: len(get("segments/buyers/members")["data"]) == 9, 30)
    wait_until(lambda: get("profiles/anonymous_id:d-1").get("traits"), 30)
    wait_until(lambda: get("profiles/user_id:u29").get("traits"), 30)

    first = run()
    assert (first["profiles"], first["members"], first["segments"]) == (31, 9, 1)
    assert table("SELECT count(*) FROM customers.profiles") == [(31,)]
    assert table("SELECT count(*), count(DISTINCT subject) FROM customers.members") == [(9, 9)]

    again = run()
    assert {again.get(name, 0) for name in ("profiles", "members", "changes", "segments")} == {0}

    nobody = {**body, "key": "more", "rule": {"event": "Sold"}}  # whoever enters has changed, too
    httpx.post(f"{product.url}/v1/segments", json=nobody, headers=header).raise_for_status()
    send(product, key, person("u1", city="Lyon"), person("u2", context=REFUSES), person("u30", x=1))
    send(product, key, {"type": "track", "event": "Bought", "userId": "u20"})
    send(
        product, key, {"type": "track", "event": "Signed In", "userId": "u3", "anonymousId": "d-1"}
    )
    wait_until(lambda: get("profiles/user_id:u1")["traits"]["city"] == "Lyon", 30)
    wait_until(lambda: get("profiles/user_id:u3")["traits"].get("seen") == 1, 30)
    wait_until(lambda: get("profiles/user_id:u20")["segments"], 30)
    members = {one["profile_id"] for one in get("segments/buyers/members")["data"]}
    third = run()
    record_property("rows of the runs", json.dumps([first, again, third]))
    assert third["segments"] == 1
    assert 4 <= third["profiles"] <= 7 < first["profiles"]
    held = "SELECT traits__city FROM customers.profiles JOIN customers.profiles__identifiers i"
    held += " ON i._dlt_parent_id = profiles._dlt_id WHERE i.value = '{}'"
    assert table(held.format("u1")) == [("Lyon",)]
    assert table(held.format("u5")) == [("city 5",)]
    assert table(held.format("u2")) == []  # withheld: the row is empty
    assert table("SELECT count(*) FROM customers.profiles") == [(31,)]  # one came, one was merged
    assert {row[0] for row in table("SELECT subject FROM customers.members")} == members


def test_dlt_asks_for_another_token_when_one_expires_within_a_load(
    own_product: Product, tmp_path: Path, record_property: Any
) -> None:
    """A token lives for a minute, the shortest there is, and the load takes longer."""
    recipe = blocks(PAGE, "python")[0].replace('"limit": 1000', '"limit": 10')
    product = own_product
    product.environment["PARCOURS_TOKEN_LIFETIME_SECONDS"] = "60"
    with faulty(product.port, ()) as slow:
        product.start()
        made, key = client(product), product.add_source()
        send(product, key, *(person(f"u{n}", city=f"city {n}") for n in range(20)))
        answer = httpx.post(f"{product.url}/oauth/token", data={"grant_type": "client_credentials"},
                            auth=(made["client_id"], made["client_secret"]))  # fmt: skip
        header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        asked = {"purpose": EMAIL}

        def get(path: str) -> httpx.Response:
            return httpx.get(f"{product.url}/v1/{path}", params=asked, headers=header)

        wait_until(lambda: get("profiles/user_id:u19").json().get("traits"), 30)
        slow.pauses = [0.0, 24.0, 24.0, 24.0]
        started = time.monotonic()
        load(recipe, tmp_path, slow.url, made)
        took = time.monotonic() - started
        assert get("segments").status_code == 401, "it was not long enough for a token to expire"
    assert loaded(tmp_path, "SELECT count(*) FROM customers.profiles") == [(20,)]
    used = [headers["Authorization"] for method, _, headers in slow.seen if method == "GET"]
    assert len(set(used)) > 1
    assert used[0] != used[-1]
    record_property("seconds, requests and tokens", json.dumps([took, len(used), len(set(used))]))


def test_a_webhook_receiver_verifies_and_drops_what_it_has_seen(
    product: Product, receiver: Receiver, tmp_path: Path
) -> None:
    """Messages of the product itself, passed on to the recipe and to the code for n8n."""
    python, javascript = blocks(PAGE, "python")[1], blocks(PAGE, "javascript")[0]
    made = product.cli("client", "add", "crm", "--scope", "segments:write", "--scope",
                       "destinations:write", "--purpose", EMAIL)  # fmt: skip
    answer = httpx.post(f"{product.url}/oauth/token", data={"grant_type": "client_credentials"},
                        auth=(made["client_id"], made["client_secret"]))  # fmt: skip
    header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    body = {"key": "seers", "name": "Seers", "purpose": EMAIL, "rule": {"event": "Saw"}}
    httpx.post(f"{product.url}/v1/segments", json=body, headers=header).raise_for_status()
    body = {"name": "n8n", "url": receiver.url, "purpose": EMAIL, "segments": ["seers"]}
    to = httpx.post(f"{product.url}/v1/destinations", json=body, headers=header).json()
    key = product.add_source("shop")
    send(product, key, {"type": "track", "event": "Saw", "userId": "w-1"})
    delivered = wait_until(lambda: receiver.received, 30)[0]
    headers = {k: v for k, v in delivered.headers.items() if k.lower().startswith("webhook-")}

    port = free_port()
    script = tmp_path / "receive.py"
    script.write_text(python, encoding="utf-8")
    environment = {**os.environ, "SIGNING_SECRET": to["secret"], "PORT": str(port)}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as running:  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"

            def post(content: bytes) -> int | None:
                try:
                    return httpx.post(url, content=content, headers=headers).status_code
                except httpx.ConnectError:
                    return None

            assert wait_until(lambda: post(delivered.body), 20) == 204
            assert post(delivered.body) == 204
            assert post(delivered.body + b" ") == 401
        finally:
            running.terminate()
        assert running.stdout is not None
        [line] = running.stdout.read().splitlines()
    assert json.loads(line)["type"] == "segment.entered"

    lower = {k.lower(): v for k, v in headers.items()}
    for content, status in ((delivered.body, 0), (delivered.body + b" ", 1)):
        arguments = ", ".join(json.dumps(a) for a in (to["secret"], lower, content.decode()))
        done = subprocess.run(["node", "-e", f"{javascript}\nverify({arguments})"],
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == status, done.stderr
