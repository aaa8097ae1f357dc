"""Writes packages: what a person gets to read, and what another service can take over."""

import csv
import hashlib
import html
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

Files = Mapping[str, bytes]

HEADINGS = {
    "identifiers": "How you are known here",
    "former_identifiers": "How you were known here before it was put right",
    "traits": "What is known about you",
    "computed_traits": "What was computed of what you did",
    "events": "What you did",
    "held_events": "What waits for your answer",
    "rejected_events": "What could not be accepted",
    "segments": "Groups that you are or were in",
    "accounts": "Accounts that you are or were in",
    "recipients": "Who was told of you",
    "reads": "Who looked at your data, and what for",
    "matching": "What your records are compared by",
    "consents": "What you agreed to, or did not",
    "tc_strings": "What you told the advertising industry (TC strings)",
    "restrictions": "What you restricted or objected to",
    "ages": "What is known of your age",
    "denials": "Uses of your data that were denied",
    "requests": "What you asked for",
    "withheld": "What is kept back, and why",
}


def access(facts: Mapping[str, Any], why: Mapping[str, Any], purposes: Iterable[Any]) -> Files:
    """Return the files of an access package (GDPR art. 15): to read, and to process."""
    return {
        "index.html": _page(facts, why).encode(),
        "data.json": _json(facts),
        "consents.json": _json(facts["consents"]),
        "explain.json": _json(why),
        "purposes.json": _json(list(purposes)),
        "recipients.csv": _csv(
            facts["recipients"],
            ("recipient", "purpose", "what", "segment", "state", "at", "also_for"),
        ),
    }


def portability(events: Iterable[Any], consents: Any) -> Files:
    """Return the files of a portability package (GDPR art. 20): `events.ndjson` can be imported."""
    lines = [json.dumps(event, ensure_ascii=False) for event in events]
    return {
        "events.ndjson": "".join(line + "\n" for line in lines).encode(),
        "consents.json": _json(consents),
    }


def packed(files: Files, *, request_id: UUID, kind: str, made_at: datetime) -> bytes:
    """Return a ZIP of these files, with a manifest of their SHA-256."""
    manifest = {
        "request": str(request_id),
        "kind": kind,
        "made_at": made_at.isoformat(),
        "files": {name: hashlib.sha256(text).hexdigest() for name, text in files.items()},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**files, "manifest.json": _json(manifest)}.items():
            archive.writestr(name, text)
    return out.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str).encode()


def _csv(rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows({k: _harmless(v) for k, v in row.items()} for row in rows)
    return out.getvalue().encode()


def _harmless(value: Any) -> Any:
    """Keep a spreadsheet from taking a value for a formula (OWASP, CSV injection)."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _page(facts: Mapping[str, Any], why: Mapping[str, Any]) -> str:
    parts = [_section(heading, facts[key]) for key, heading in HEADINGS.items()]
    parts.append(_section("Why these records are one profile", why["why_one_profile"]))
    parts.append(f"<p>{html.escape(why['in_words'])}</p>")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Your data</title>"
        "<style>body{font:16px/1.5 sans-serif;margin:2rem}table{border-collapse:collapse}"
        "td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}"
        "</style><h1>Your data</h1>" + "".join(parts) + "</html>"
    )


def _section(heading: str, rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    title = f"<h2>{html.escape(heading)}</h2>"
    if not rows:
        return title + "<p>Nothing.</p>"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(row.get(c)))}</td>" for c in columns) + "</tr>"
        for row in rows
    )
    return f"{title}<table><tr>{head}</tr>{body}</table>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
