"""The ledger over HTTP and by command: proofs that hold outside, for who may read it."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

import consent
from api.cli.root import app
from app.db import Sessions
from app.ledger.job import LedgerJob
from app.settings import Settings
from consent.ledger import check
from consent.ledger.consistency import check_consistency
from tests.app.ledger.recording import NOW, choice, people

Token = Callable[..., dict[str, str]]


@pytest.fixture
def sealed(sessions: Sessions, settings: Settings) -> Iterator[str]:
    """A ledger with several checkpoints; yields the id of its first record."""
    job = LedgerJob(sessions, settings)
    [first] = people(sessions, 1)
    job.round()
    people(sessions, 300, start=1)
    job.round()
    yield first.record_id
    job.keystore.close()


def test_what_is_signed_entries_and_proofs_are_read_with_the_scope_and_hold_by_themselves(
    server: TestClient, token: Token, sealed: str
) -> None:
    header = token("ledger:read")

    def get(path: str, status: int = 200, **query: Any) -> Any:
        answer = server.get(path, params=query, headers=header)
        assert answer.status_code == status, answer.text
        return answer.json() if "json" in answer.headers["content-type"] else answer.text

    page = get("/v1/ledger/checkpoints", limit=1)
    vkeys, [new] = page["vkeys"], page["data"]
    [old] = get("/v1/ledger/checkpoints", cursor=page["next_cursor"])["data"]
    for point in (old, new):
        signed = check.open_checkpoint(point["note"], vkeys)
        assert (signed.size, signed.root.hex()) == (point["size"], point["root"])
    said = get("/v1/ledger/consistency", old=old["size"], new=new["size"])
    hashes = [bytes.fromhex(found) for found in said["hashes"]]
    roots = [bytes.fromhex(point["root"]) for point in (old, new)]
    check_consistency(old["size"], roots[0], new["size"], roots[1], hashes)

    entries, start = [], 0
    while start is not None:
        part = get("/v1/ledger/entries", start=start, limit=100)
        entries += part["data"]
        start = part["next"]
    assert [entry["index"] for entry in entries] == list(range(new["size"]))
    for index in (0, old["size"] - 1, new["size"] - 1):
        proof = get(f"/v1/ledger/entries/{index}/proof")
        assert check.check(proof, vkeys).entry == entries[index]["entry"]
    proof = get("/v1/ledger/entries/0/proof", size=old["size"])
    assert check.check(proof, vkeys).checkpoint.size == old["size"]
    proof = get(f"/v1/consents/{sealed}/proof")
    assert check.check(proof, vkeys).entry["state"] == "given"

    get(f"/v1/ledger/entries/{new['size']}/proof", 404)
    get("/v1/ledger/entries/0/proof", 404, size=old["size"] + 1)
    get("/v1/ledger/consistency", 404, old=5, new=10_000)
    get("/v1/ledger/consistency", 404, old=new["size"], new=old["size"])
    get(f"/v1/consents/{uuid4()}/proof", 404)
    get("/v1/consents/xyz/proof", 422)
    get("/v1/ledger/checkpoints", 422, cursor="xyz")
    get("/v1/ledger/entries", 422, start=-1)


def test_without_the_scope_nothing_is_read_and_a_record_that_waits_is_409(
    server: TestClient, token: Token, sessions: Sessions, sealed: str
) -> None:
    paths = ("/v1/ledger/checkpoints", "/v1/ledger/entries", "/v1/ledger/entries/0/proof",
             "/v1/ledger/consistency?old=1&new=2", f"/v1/consents/{sealed}/proof")  # fmt: skip
    other = token("consents:read")
    for path in paths:
        assert server.get(path).status_code == 401
        assert server.get(path, headers=other).status_code == 403
    [waits] = people(sessions, 1, start=900)
    answer = server.get(f"/v1/consents/{waits.record_id}/proof", headers=token("ledger:read"))
    assert (answer.status_code, answer.json()["code"]) == (409, "ledger-entry-not-sealed")


@pytest.fixture
def parcours(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command on the test's database and return status, output and errors."""
    monkeypatch.setenv("PARCOURS_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(settings.home))
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_commands_seal_examine_prove_and_check(
    parcours: Callable[..., Any], sessions: Sessions, tmp_path: Path
) -> None:
    with sessions.begin() as session:
        [written] = consent.record(session, [choice("email:ada@example.org")], received_at=NOW)
    about = written.record_id
    waits = parcours("ledger", "prove", about)
    assert type(waits.exception).__name__ == "LedgerEntryNotSealed"
    assert json.loads(parcours("ledger", "seal").output)["entries"] > 1
    listed = json.loads(parcours("ledger", "checkpoints", "--json").output)
    [vkey] = listed["vkeys"]
    body, file = tmp_path / "r.json", tmp_path / "r.tlog-proof"
    proved = parcours("ledger", "prove", about, "--body", body)
    file.write_text(proved.output, encoding="utf-8")
    encoded = base64.b64encode(b"ada@example.org").decode()
    assert "ada@example.org" not in proved.output
    assert encoded not in proved.output
    good = parcours("ledger", "check", file, "--vkey", vkey, "--body", body)
    assert (good.exit_code, "ada@example.org" in good.output) == (0, True)
    file.write_text(proved.output.replace("index ", "index 1"), encoding="utf-8")
    assert parcours("ledger", "check", file, "--vkey", vkey).exit_code == 1
    kept = tmp_path / "kept.txt"
    kept.write_text(listed["checkpoints"][0]["note"], encoding="utf-8")
    for options in ([], ["--full"], ["--from-checkpoint", kept, "--vkey", vkey]):
        report = parcours("ledger", "verify", "--json", *options)
        said = json.loads(report.output)
        assert (report.exit_code, said["sound"], said["problems"]) == (0, True, [])
    new = json.loads(parcours("ledger", "rotate-key", "--overlap-days", "1").output)["vkey"]
    parcours("ledger", "seal")
    assert json.loads(parcours("ledger", "checkpoints", "--json").output)["vkeys"] == [vkey, new]
    kept.write_text(listed["checkpoints"][0]["note"].replace("\n\n", "\nx\n\n"), encoding="utf-8")
    assert parcours("ledger", "verify", "--from-checkpoint", kept).exit_code != 0
    wrong = parcours("ledger", "verify", "--vkey", new, "--from-checkpoint", tmp_path / "none")
    assert wrong.exit_code != 0
