"""The record of processing as a page, and the bundle for auditors, over HTTP."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fastapi.testclient import TestClient

import consent
from app.access import sources
from app.db import Sessions
from app.ledger.job import LedgerJob
from app.settings import Settings
from consent.ledger import bundle

SCRIPT = "<script>alert(1)</script> & <b>"


def test_the_record_is_a_page_in_which_what_others_wrote_is_text(
    server: TestClient, sessions: Sessions, token: Callable[..., dict[str, str]]
) -> None:
    with sessions.begin() as session:
        sources.add(session, "web")
        known = consent.catalogue.purpose(session, "service.operation")
        told = {**known.declared, "recipients": [SCRIPT], "retention_days": 365}
        consent.catalogue.add_purpose(
            session,
            replace(
                known, version=2, title={"en": SCRIPT}, declared=told, renewed=0,
                effective_from=datetime(2026, 2, 1, tzinfo=UTC),
            ),
        )  # fmt: skip
    answer = server.get(
        "/v1/record-of-processing", params={"format": "html"}, headers=token("privacy:read")
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in answer.text
    assert answer.text.count("&lt;script&gt;alert(1)") == 2  # as title and as recipient
    assert "365 days" in answer.text
    assert "The controller is not set." in answer.text


def test_the_bundle_is_a_file_that_is_checked_offline(
    server: TestClient, sessions: Sessions, settings: Settings, tmp_path: Path,
    token: Callable[..., dict[str, str]],
) -> None:  # fmt: skip
    officer = token("privacy:read", "ledger:read")
    assert server.get("/v1/audit-bundle", headers=officer).status_code == 503  # no key is here
    assert server.get("/v1/audit-bundle", headers=token("privacy:read")).status_code == 403
    job = LedgerJob(sessions, settings)
    job.round()
    job.keystore.close()
    with sessions.begin() as session:  # told within the sealer's minute
        consent.catalogue.add_purpose(session, consent.Purpose("marketing.fax"))
        consent.catalogue.add_notice(
            session, key="banner", version=1, language="fr", purposes=["marketing.fax"], body="Oui?"
        )

    answer = server.get("/v1/audit-bundle", headers=officer)

    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path / "bundle")  # our own answer
    found = bundle.check(tmp_path / "bundle")
    assert found.sound, found.problems
    assert found.entries > 20
    gaps = json.loads((tmp_path / "bundle" / "gaps.json").read_text("utf-8"))
    assert gaps["unsealed"] == ["purpose marketing.fax 1", "notice banner 1 fr"]
    (tmp_path / "bundle" / "counts.json").write_text("{}")
    assert not bundle.check(tmp_path / "bundle").sound
