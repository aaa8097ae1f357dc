"""Which operations answer for a purpose, written down from the contract and not from the code.

"Every read of personal data states a purpose, and gets only what that person's consent allows for
it" (design/api.md). An operation that is in no row, in two, or says otherwise in its own document
fails here; `test_matrix.py` asks those that say so, with purposes of the client and of others.
"""

import re
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.access import clients
from app.db import Sessions
from consent.defaults import CATALOGUE
from tests.api.oauth.operations import Call, Operation, answers, taking_tokens
from tests.api.oauth.wire import register, token_of

#: What shows, chooses or sends people: a pattern of paths, and the methods of which it is so.
FOR_A_PURPOSE = (
    ("/v1/profiles", "GET"),
    ("/v1/profiles/batch", "POST"),
    ("/v1/profiles/{ref}(/(traits|computed|special-categories|identifiers|events|segments|journeys"
     "|accounts))?", "GET"),
    ("/v1/changed-profiles", "GET"),
    ("/v1/accounts(/{ref}(/(traits|members))?)?", "GET"),
    ("/v1/spaces/{space}/.*", "GET"),
    ("/v1/computed-traits/{key}", "PUT"),
    ("/v1/segments", "POST"),
    ("/v1/segments/preview", "POST"),
    ("/v1/segments/overlap", "GET"),
    ("/v1/segments/{key}", "PUT"),
    ("/v1/segments/{key}/(members|history|explain/{ref})", "GET"),
    ("/v1/journeys/{key}/(personae|kpis|log.{form})", "GET"),
    ("/v1/saved-analyses/{key}(/alerts)?", "GET|PUT|PATCH|DELETE"),
    ("/v1/saved-analyses/{key}/answers", "POST"),
    ("/v1/analyses/[a-z-]+", "POST"),
    ("/v1/analyses/{query_id}/(profiles|answer.{form})", "GET"),
    ("/v1/analyses/{query_id}/segment", "POST"),
    ("/v1/destinations", "POST"),
    ("/v1/destinations/{destination_id}", "PATCH"),
    ("/v1/destinations/{destination_id}/(dry-run|sync|replay)", "POST"),
    ("/v1/destinations/{destination_id}/deliveries", "GET"),
    ("/v1/consents/simulate", "POST"),
    ("/v1/identity/(explain|reviews|reviews/{review_id})", "GET"),
    ("/v1/identity/preview", "POST"),
    ("/v1/privacy/breaches/{breach_id}/people", "GET"),
)  # fmt: skip
#: Of these, what answers with figures and degrees alone where none is stated.
SHOWS_NOBODY = (
    "GET /v1/identity/reviews",
    "POST /v1/identity/preview",
    "POST /v1/consents/simulate",
)
#: What does not, and why it need not.
WITHOUT = {
    "a duty to the person or to an authority is no use for a purpose": (
        ("/v1/consents", "GET|POST"),
        ("/v1/consents/(decision|denials|evidence|denied-uses|restrictions|sends|send-proof)",
         "GET"),
        ("/v1/consents/{record_id}/(disclosures|proof|receipt)", "GET"),
        ("/v1/profiles/{ref}/consents", "GET"),
        ("/v1/ages", "GET|PUT"),
        ("/v1/ledger/.*", "GET"),
        ("/v1/reads", "GET"),
        ("/v1/record-of-processing", "GET"),
        ("/v1/audit-bundle", "GET"),
        ("/v1/privacy/(requests|suppressions|packages|vault)(/.*)?", "GET|POST"),
        ("/v1/privacy/breaches(/{breach_id}(/(assessment|steps|draft))?)?", "GET|POST"),
        ("/opendsr/.*", "GET|POST|DELETE"),
    ),
    "who is who, by ids and degrees: nothing that is known of anybody": (
        ("/v1/profiles/{ref}/(merges|explain)", "GET"),
        ("/v1/identity/(links|merges|splits|held|undone|drift|explain.svg)", "GET"),
        ("/v1/identity/(merges/{merge_id}|runs/{run_id}|rules/{rule})/(undo|redo)", "POST"),
        ("/v1/identity/reviews/{review_id}/decision", "POST"),
        ("/v1/identity/(constraints|recalibrations|recalibrations/rollback)", "GET|POST"),
        ("/v1/identity/runs(/{run_id})?", "GET|POST"),
    ),
    "says that something happened; what is of a purpose only to who may state it": (
        ("/v1/changes", "GET"),
    ),
    "definitions and figures: nobody is in them": (
        ("/v1/identity/namespaces(/{key})?", "GET|PUT|DELETE"),
        ("/v1/trait-rules(/{key})?", "GET|PUT|DELETE"),
        ("/v1/computed-traits(/{key})?", "GET|DELETE"),
        ("/v1/segments(/dependencies|/{key}(/versions)?)?", "GET"),
        ("/v1/segments/{key}", "DELETE"),
        ("/v1/segments/{key}/archive", "POST"),
        ("/v1/journeys", "GET|POST"),
        ("/v1/journeys/{key}(/(map.xlsx|versions|diff|provenance))?", "GET"),
        ("/v1/journeys/{key}(/reference)?", "PUT|DELETE"),
        ("/v1/journey-(templates|maps)", "GET|POST"),
        ("/v1/saved-analyses", "GET"),
        ("/v1/identity/models(/.*)?", "GET|POST"),
        ("/v1/(purposes|notices)", "GET|POST"),
        ("/v1/purposes/{key}/versions", "GET"),
        ("/v1/controller", "GET|PUT"),
        ("/v1/vendor-lists", "GET|POST"),
        ("/v1/retention(/{rule_id})?", "GET|PUT|DELETE"),
        ("/v1/tracking-plans(/.*)?", "GET|POST|PUT|DELETE"),
    ),
    "runs the product: what is refused, sources, clients, where things go": (
        ("/v1/destinations(/kinds|/{destination_id}(/opendsr)?)?", "GET"),
        ("/v1/destinations/{destination_id}(/opendsr)?", "PUT|DELETE"),
        ("/v1/clients(/.*)?", "GET|POST|PUT|DELETE"),
        ("/v1/sources(/.*)?", "GET|POST|PATCH|DELETE"),
        ("/v1/rejected-events(/.*)?", "GET|POST|PATCH|DELETE"),
    ),
}  # fmt: skip


@pytest.fixture
def app(server: TestClient) -> FastAPI:
    return cast(FastAPI, server.app)


@pytest.fixture
def every(app: FastAPI) -> list[Operation]:
    return list(taking_tokens(app.openapi()))


def within(operation: Operation, rows: tuple[tuple[str, str], ...]) -> bool:
    return any(
        re.fullmatch(methods, operation.method)
        and re.fullmatch(path.replace("{", r"\{"), operation.path)
        for path, methods in rows
    )


def test_each_operation_says_that_it_answers_for_a_purpose_or_is_known_not_to(
    every: list[Operation],
) -> None:
    rows = {"for a purpose": FOR_A_PURPOSE, **WITHOUT}
    placed = {str(o): [why for why, some in rows.items() if within(o, some)] for o in every}
    assert {o: why for o, why in placed.items() if len(why) != 1} == {}
    wrong = [str(o) for o in every if o.purposes is not within(o, FOR_A_PURPOSE)]
    assert wrong == []
    unused = [
        path for some in rows.values() for path, methods in some
        if not any(within(o, ((path, methods),)) for o in every)
    ]  # fmt: skip
    assert unused == []


def test_who_may_state_no_purpose_is_shown_nobody(
    server: TestClient, app: FastAPI, every: list[Operation], sessions: Sessions
) -> None:
    """With all scopes. What is asked for must exist to be refused: those are in the matrix."""
    headers = {"authorization": f"Bearer {token_of(server, register(sessions, *clients.SCOPES))}"}
    shown = []
    for purpose in (CATALOGUE[0].key, ""):
        stated = f"?purpose={purpose}" if purpose else ""
        more = {"examples_for": purpose} if purpose else {}
        calls = [
            Call(o, headers, o.address(ref="user_id:u-1") + stated, {**o.example, **more})
            for o in every
            if within(o, FOR_A_PURPOSE) and (purpose or str(o) not in SHOWS_NOBODY)
        ]
        replies = answers(app, calls)
        shown += [
            f"{call.operation}{stated}: {reply.status}"
            for call, reply in zip(calls, replies, strict=True)
            if reply.status < 400 or reply.status >= 500
        ]
    assert sorted(shown) == []
