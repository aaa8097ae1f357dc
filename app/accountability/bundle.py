"""Writes a bundle for auditors: what was told, what is counted, what is open, and the ledger.

It names no person. The hashes of all entries of the ledger are in it; entries about people only
when asked for, since their references are pseudonyms until the keys are destroyed.
"""

import json
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

import consent
from app.accountability import markdown
from app.accountability.processing import record_of_processing
from app.db import statement
from app.errors import BundleUnusable
from app.privacy import describe, requests
from app.settings import Settings
from consent.ledger import LedgerCheckpoint, Signer, bundle, store

#: Entries and checkpoints that are read at once, and requests that are listed.
AT_ONCE = 10_000


def write(
    session: Session,
    folder: Path,
    signers: list[Signer],
    settings: Settings,
    *,
    at: datetime,
    all_entries: bool = False,
) -> dict[str, Any]:
    """Write a bundle into a new folder and return what is in it.

    The session sees one state of the database. Raises BundleUnusable where the folder is not
    empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleUnusable(f"{folder} is there and not empty")
    record = record_of_processing(session, at=at)
    leaves, shown = _entries(session, all_entries=all_entries)
    told, unsealed = _catalogue(session, shown)
    bodies = {(n.key, n.version, n.language): n.body for n in consent.catalogue.notices(session)}
    notices = [
        {**one, "body": bodies[one["key"], one["version"], one["language"]]}
        for one in told
        if one["kind"] == "notice"
    ]
    checkpoints = [
        {"size": point.size, "note": point.note, "created_at": point.created_at.isoformat()}
        for point in _checkpoints(session)
    ]
    files = {
        bundle.PURPOSES: _json([one for one in told if one["kind"] == "purpose"]),
        bundle.NOTICES: _json(notices),
        bundle.LEAVES: bundle.leaves_file(leaves),
        bundle.ENTRIES: "".join(f"{json.dumps(one)}\n" for one in shown).encode(),
        bundle.CHECKPOINTS: _json(checkpoints),
        bundle.KEYS: _json(
            [{"vkey": k.vkey, "created_at": k.created_at.isoformat()} for k in store.keys(session)]
        ),
        "record-of-processing.json": _json(record),
        "record-of-processing.md": markdown.page(record).encode(),
        "counts.json": _json(_counts(session)),
        "gaps.json": _json(
            {"processing": record["gaps"], "unsealed": unsealed, **_gaps(session, settings, at)}
        ),
    }
    files |= {
        f"proofs/{one['index']}.tlog-proof": store.prove(session, one["index"]).write().encode()
        for one in shown
        if json.loads(one["text"])["type"] in ("purpose", "notice")
    }
    _save(folder, files, bundle.manifest(files, signers, created=at))
    return {"folder": str(folder), "files": len(files), "entries": len(leaves), "shown": len(shown)}


def _entries(session: Session, *, all_entries: bool) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Return the hashes of all entries, and those entries that are shown."""
    leaves: list[bytes] = []
    shown: list[dict[str, Any]] = []
    while rows := store.entries(session, start=len(leaves), limit=AT_ONCE):
        leaves += [row.leaf_hash for row in rows]
        shown += [
            {"index": row.leaf_index, "text": row.entry}
            for row in rows
            if all_entries or "subject" not in store.said(row)
        ]
        session.expunge_all()
    return leaves, shown


def _catalogue(
    session: Session, shown: Iterable[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the purposes and notices that the ledger holds, and the names of those that wait.

    Who checks the bundle demands that all that is told is sealed.
    """
    entries = [json.loads(one["text"]) for one in shown]
    sealed = {
        (e["type"], e[e["type"]], e["version"], e.get("language", ""))
        for e in entries
        if e["type"] in ("purpose", "notice")
    }
    told: list[dict[str, Any]] = []
    waiting: list[str] = []
    for row in store.catalogue(session):
        name = (row.kind, row.key, str(row.version), row.language)
        if name in sealed:
            told.append({**json.loads(row.content), "kind": row.kind})
        else:
            waiting.append(" ".join(name).strip())
    return told, waiting


def _checkpoints(session: Session) -> Iterable[LedgerCheckpoint]:
    after = 0
    while rows := store.checkpoints_after(session, after, limit=AT_ONCE):
        yield from rows
        after = rows[-1].size


def _counts(session: Session) -> dict[str, Any]:
    """Return how many records, grants by proof, and denials there are."""
    rows = session.execute(statement("app.accountability", "records"))
    return {
        "records": [dict(row._mapping) for row in rows],
        "grants_by_proof": consent.proof(session),
        "denials": consent.denials(session),
    }


def _gaps(session: Session, settings: Settings, at: datetime) -> dict[str, Any]:
    """Return what is not proved, not reached and not done."""
    rows = session.execute(statement("app.accountability", "troubles"))
    waiting = store.waiting_since(session)
    return {
        "grants": {k: v for k, v in consent.proof(session).items() if k != "records"},
        "destinations": [dict(row._mapping) for row in rows],
        "requests": [
            describe.request(one, settings, now=at)
            for one in requests.list_all(session, open_only=True, limit=AT_ONCE)
        ],
        "unsealed_since": waiting.isoformat() if waiting else None,
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, default=str).encode()


def _save(folder: Path, files: dict[str, bytes], manifest: str) -> None:
    """Write the files, for their owner alone, and the manifest last."""
    try:
        for name, content in [*files.items(), (bundle.MANIFEST, manifest.encode())]:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
                out.write(content)
    except OSError as error:
        raise BundleUnusable(f"{folder}: {error.strerror}") from error
