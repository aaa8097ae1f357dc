"""The drift report concludes from decided pairs, by model and decile, and from few of them not."""

from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.db import Sessions
from app.identities import drifting
from identity.drift import LEAST, drift, wilson


def decide(
    session: Session, run: int | None, probability: float, matches: int, others: int,
    origin: str = "review",
) -> None:  # fmt: skip
    """Write labels of pairs of one probability straight into their table."""
    known = session.scalar(sa.text("SELECT coalesce(max(right_id), 0) FROM identity.label")) or 0
    rows = [
        {"l": known + 1 + n, "r": known + 1_000_000 + n, "m": n < matches, "p": probability,
         "run": run, "o": origin}
        for n in range(matches + others)
    ]  # fmt: skip
    insert = (
        "INSERT INTO identity.label (left_id, right_id, is_match, origin, probability,"
        " model_run_id, decided_by) VALUES (:l, :r, :m, :o, :p, :run, 'test')"
    )
    session.execute(sa.text(insert), rows)


def test_what_is_promised_and_kept_holds_and_few_pairs_say_nothing(session: Session) -> None:
    assert drift(session) == []
    assert drifting.report(session, "fr")["text"].startswith("Rien n'a encore été décidé")
    decide(session, 3, 0.75, LEAST * 3 // 4 - 1, LEAST // 4)
    [thin] = drift(session)
    assert (thin.verdict, thin.decided) == ("thin", LEAST - 1)
    assert "Too little was decided" in drifting.report(session, "en")["text"]
    decide(session, 3, 0.75, 1, 0)
    [holds] = drift(session)
    assert holds.verdict == "holds"
    decile = holds.deciles[7]
    assert (decile.decided, decile.matches, decile.promised) == (20, 15, 0.75)
    assert decile.observed == pytest.approx(0.75)
    assert [d.verdict for d in holds.deciles].count("thin") == 9


@pytest.mark.parametrize(
    ("matches", "verdict", "words"),
    [(8, "optimistic", "promise too much"), (39, "pessimistic", "promise too little")],
)
def test_what_is_not_kept_is_said_with_its_counts(
    session: Session, matches: int, verdict: str, words: str
) -> None:
    decide(session, 3, 0.72, matches, 40 - matches)
    [found] = drift(session)
    assert found.verdict == "drifts"
    assert found.deciles[7].verdict == verdict
    text = drifting.report(session, "en")["text"]
    assert words in text
    assert "of 40 pairs said to be 72.0% likely" in text


def test_each_model_answers_for_its_own_pairs_and_undone_merges_are_only_counted(
    session: Session,
) -> None:
    decide(session, 3, 0.8, 10, 30)
    decide(session, 9, 0.8, 32, 8)
    decide(session, None, 0.8, 1, 0)
    decide(session, 9, 0.97, 0, 50, origin="undo")
    decide(session, 9, 0.97, 0, 50, origin="held")
    latest, before, forgotten = drift(session)
    assert [one.model_run_id for one in (latest, before, forgotten)] == [9, 3, None]
    assert [one.verdict for one in (latest, before, forgotten)] == ["holds", "drifts", "thin"]
    assert (latest.wrong, latest.deciles[9].wrong, latest.deciles[9].decided) == (50, 50, 0)
    assert latest.deciles[9].verdict == "thin"
    assert "50 merges were found wrong" in drifting.report(session, "en")["text"]


def test_the_interval_is_wilsons() -> None:
    low, high = wilson(15, 20)  # Brown, Cai and DasGupta 2001, by their formula
    assert (round(low, 4), round(high, 4)) == (0.5313, 0.8881)
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == pytest.approx(1.0)


def test_the_route_says_it_in_the_language_that_is_asked_for(
    server: TestClient, token: Any, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        decide(session, 3, 0.72, 8, 32)
    answer = server.get("/v1/identity/drift?language=fr", headers=token("identity:read"))
    assert "promettent trop : de 40 paires données à 72,0 %" in answer.json()["text"]
    assert answer.json()["data"][0]["deciles"][7]["verdict"] == "optimistic"
