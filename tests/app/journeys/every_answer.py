"""One question of every kind of analysis, asked of one history, and the answers to them."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from app.journeys.asked import FORMS
from app.journeys.definition import Journey
from app.journeys.kinds import KINDS

START = datetime(2026, 1, 5, tzinfo=UTC)
LATER = START + timedelta(days=240)
History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

#: Names as people choose them: formulas, separators, quotes, line ends, other scripts.
NAMES = ("=page()", "+call", 'form; "A", B', "@help\nme", "-акт 日本 🎉")
PAGE, CALL, FORM, HELP, DEED = NAMES
JOURNEY: dict[str, Any] = {
    "key": "loan",
    "name": "Loan",
    "stages": [
        {"id": "ask", "order": 1, "name": {"fr": "Je demande", "en": "I ask"}},
        {"id": "file", "order": 2},
        {"id": "wait", "order": 3},
        {"id": "sign", "order": 4},
    ],
    "channels": [{"id": "web", "effort_rank": 1}, {"id": "phone", "effort_rank": 2}],
    "touchpoints": [
        {"id": "page", "stage": "ask", "channel": "web", "match": {"event": PAGE},
         "assessment": {"declared": "irritant", "by": "=workshop"}},
        {"id": "call", "stage": "ask", "channel": "phone", "match": {"event": CALL}},
        {"id": "form", "stage": "file", "channel": "web", "match": {"event": FORM}},
        {"id": "help", "stage": "file", "channel": "phone", "match": {"event": HELP}},
        {"id": "deed", "stage": "sign", "channel": "phone", "match": {"event": DEED},
         "assessment": {"declared": "irritant", "by": "survey"}},
    ],
    "value": {"match": {"event": DEED}, "prop": "total"},
    "target": {"nodes": ["page", "form", "deed"],
               "edges": [{"from": "page", "to": "form", "max_delay": "P1D"}]},
}  # fmt: skip
WAYS: Sequence[tuple[int, Sequence[tuple[str, float]]]] = [
    (400, [(PAGE, 0), (FORM, 24), (DEED, 240)]),
    (120, [(PAGE, 0), (PAGE, 1), (FORM, 30), ("rated", 31), (HELP, 40), (DEED, 250)]),
    (300, [(PAGE, 0), ("rated", 2)]),
    (150, [(PAGE, 0), (CALL, 1)]),
]
DEEDS = {"match": {"event": DEED}}
WINDOW = {"entry": {"event": PAGE}, "outcome": {"event": DEED}, "window": "P30D"}
SURVEY = {"instrument": "nps", "match": {"event": "rated"}, "prop": "score"}
ASKED: Mapping[str, Mapping[str, Any]] = {
    "funnel": {
        "steps": [{"match": {"event": PAGE}, "name": "=1+1"}, {"event": FORM}, {"event": DEED}],
        "breakdown": {"prop": "plan", "value": "first"},
    },
    "time-to-convert": {"steps": [{"event": PAGE}, {"event": DEED}]},
    "paths": {},
    "matrix": {"journey": "loan@1", "surveys": [SURVEY], "friction": {"least": 10}},
    "switches": {"journey": "loan@1"},
    "conformance": {"journey": "loan@1"},
    "friction": {"journey": "loan@1", "surveys": [SURVEY], "transitions": 9},
    "drop-off": {"journey": "loan@1"},
    "voice": {"journey": "loan@1", "surveys": [SURVEY]},
    "moments-of-truth": {"journey": "loan@1", "readings": [{"late_after": "P1D"}]},
    "compare": {
        "entry": {"event": PAGE},
        "variants": [{"name": "=called", "exposed": {"event": CALL}}, {"name": "r", "rest": True}],
        "align": ["entry", {"milestone": {"event": PAGE}, "landmark": "P2D"}],
        "outcomes": [{"name": "=done", **DEEDS}, {"name": "form", "match": {"event": FORM}}],
        "amounts": [{"name": "spend", **DEEDS, "prop": "total"}],
    },
    "attribution": {"conversion": {"event": DEED}, "label": "event", "value": "total"},
    "retention": {"start": {"event": PAGE}, "back": {"type": "track"}, "unit": "week"},
    "lifecycle": {"activity": {"type": "track"}, "unit": "week"},
    "stickiness": {"activity": {"type": "track"}, "unit": "week"},
    "drivers": {**WINDOW, "observe": "P2D", "props": ["plan"], "least": 10},
    "prediction": {"outcome": {"event": DEED}, "horizon": "P30D", "lookback": "P30D"},
    "next-purchase": {"purchase": {"any": [{"event": PAGE}, {"event": FORM}, {"event": DEED}]}},
    "uplift": {"entry": {"event": PAGE}, "treated": {"prop": "plan", "value": "=1"},
               "control": {"not": {"prop": "plan", "value": "=1"}}, "outcome": {"event": FORM},
               "props": ["score", "plan"], "randomised": True},
    "anomalies": {"match": {"event": PAGE}, "by": [{"prop": "plan"}], "floor": 1},
    "readiness": {"journey": "loan@1"},
    "findings": {"journey": "loan@1", "observe": "P2D"},
}  # fmt: skip


def _rows() -> list[dict[str, Any]]:
    """970 people of 235 days; some things of them are as people may say them."""
    dice = random.Random(7)  # noqa: S311 - a reproducible history, not a secret
    found: list[dict[str, Any]] = []
    person = 0
    for n, events in WAYS:
        for _ in range(n):
            person += 1
            day = 190 if person % 10 == 0 else dice.randrange(235)  # an alert of that day
            said = f'{{"plan": "={person % 3}", "score": {person % 11}, "total": {person}.5}}'
            found += [
                {
                    "person_id": person,
                    "name": name,
                    "properties": said,
                    "occurred_at": START + timedelta(days=day, hours=at),
                }
                for name, at in events
            ]
    return found


HISTORY = _rows()


def answers(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """Every kind's answer, as JSON has it; the envelope is of one query."""
    assert set(ASKED) == set(KINDS) == set(FORMS)
    connection.execute(
        "CREATE TABLE attribute AS SELECT DISTINCT 'allowed' AS kind, '' AS key, person_id,"
        " 'true' AS label FROM event"
    )
    found = {}
    for kind, asked in ASKED.items():
        question = FORMS[kind].model_validate(asked).question(Journey.model_validate(JOURNEY))
        result = KINDS[kind].compute(connection, question, as_of=LATER)
        body = result.model_dump(mode="json", by_alias=True)
        semantics, _, _ = (body.pop(part) for part in ("semantics", "definition_hash", "as_of"))
        found[kind] = {
            "query_id": f"q_{kind}",
            "kind": kind,
            "semantics": semantics,
            "purpose": "analytics.audience",
            "as_of": LATER.isoformat(),
            "n_profiles": 970,
            "n_events": 1_000,
            "excluded": {"consent:refused": 1},
            "result": body,
            "warnings": ["=2+2"],
        }
    return found
