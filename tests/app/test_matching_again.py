"""What a person took back, or what records no longer say, stays so or goes with the next run."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from app import matching as app_matching
from app.db import Sessions
from identity import graph, judged, matching, people, preview, records, reviews, suspensions
from identity.preview import Proposal
from tests.app.test_matching import REVIEW, add, numbered, run, strangers
from tests.app.test_matching import people as population

pytestmark = pytest.mark.usefixtures("few_suffice")

Named = Mapping[str, int]
ADA = {"first_name": "ada", "last_name": "lovelace", "birth_date": "1985-12-10"}
MAIL = {"email": "countess@mail.net"}
OTHER = {"first_name": "grace", "last_name": "hopper", "birth_date": "1906-12-09",
         "email": "grace@navy.mil", "phone": "12025550123"}  # fmt: skip


@pytest.fixture
def few_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learnt from few records judges others, as what was learnt from many does."""
    monkeypatch.setattr(matching, "LEAST_LEARNT", 0)


def say(sessions: Sessions, ids: Named, *names: str, **fields: str) -> None:
    with sessions.begin() as session:
        records.keep(session, {ids[name]: fields for name in names})


def joined(sessions: Sessions, ids: Named, one: str, other: str) -> bool:
    with sessions() as session:
        persons = people.people_of(session, [ids[one], ids[other]])
    return persons[ids[one]] == persons[ids[other]]


def held(sessions: Sessions, ids: Named, one: str, other: str) -> str | None:
    query = "SELECT held FROM identity.link WHERE left_id = :a AND right_id = :b AND kind = 'match'"
    with sessions() as session:
        low, high = sorted((ids[one], ids[other]))
        why: str | None = session.execute(sa.text(query), {"a": low, "b": high}).scalar_one()
    return why


def last_run(sessions: Sessions) -> int:
    with sessions() as session:
        last = reviews.last_run(session)
        assert last is not None
        return last.id


def undo(sessions: Sessions, run_id: int, does: Callable[..., None] = suspensions.suspend) -> None:
    more = {"by": "ada"} if does is suspensions.suspend else {}
    with sessions.begin() as session:
        does(session, run_id=run_id, **more)
        for some in suspensions.touched(session, run_id=run_id):
            graph.reconsider(session, some, at=datetime.now(UTC))


def test_a_run_that_was_undone_stays_undone_until_the_records_say_something_new(
    sessions: Sessions,
) -> None:
    ids = add(sessions, {"ada": {**ADA, **MAIL}, "also ada": {**ADA, **MAIL},
                         **numbered(population(200, 7))})  # fmt: skip
    run(sessions, reviews.ALL)
    first = last_run(sessions)
    assert joined(sessions, ids, "ada", "also ada")
    undo(sessions, first)
    assert not joined(sessions, ids, "ada", "also ada")
    # Others come, so the next run learns something else, and weighs the two otherwise.
    add(sessions, numbered(population(150, 8), start=900))
    done = run(sessions, reviews.ALL)
    assert not joined(sessions, ids, "ada", "also ada")
    assert held(sessions, ids, "ada", "also ada") == "undone"
    assert done["undone"] >= 67  # every third of 200, and these two
    say(sessions, ids, "ada", city="london")  # as good as nothing
    run(sessions, reviews.NEW)
    run(sessions, reviews.ALL)
    assert not joined(sessions, ids, "ada", "also ada")
    say(sessions, ids, "ada", "also ada", phone="447700900123", national_id="AB123456C")
    run(sessions, reviews.NEW)
    assert joined(sessions, ids, "ada", "also ada")


def test_undoing_a_run_takes_back_what_it_linked_and_not_what_it_only_weighed_again(
    sessions: Sessions,
) -> None:
    ids = add(sessions, {"ada": {**ADA, **MAIL}, "also ada": {**ADA, **MAIL},
                         **numbered(population(200, 7))})  # fmt: skip
    run(sessions, reviews.ALL)
    first = last_run(sessions)
    more = add(sessions, {"joan": OTHER, "also joan": OTHER,
                          **numbered(population(150, 8), start=900)})  # fmt: skip
    run(sessions, reviews.ALL)
    second = last_run(sessions)
    assert joined(sessions, more, "joan", "also joan")
    undo(sessions, second)
    assert not joined(sessions, more, "joan", "also joan")
    assert joined(sessions, ids, "ada", "also ada")
    undo(sessions, second, suspensions.resume)
    undo(sessions, first)
    assert joined(sessions, more, "joan", "also joan")
    assert not joined(sessions, ids, "ada", "also ada")
    undo(sessions, first, suspensions.resume)
    assert joined(sessions, ids, "ada", "also ada")


def test_a_run_over_who_changed_takes_back_a_match_that_holds_no_more(sessions: Sessions) -> None:
    joan = {"first_name": "joan", "last_name": "clarke", "birth_date": "1917-06-24"}
    persons = [{**joan, "phone": "447911123456"}, {**ADA, "phone": "447700900123"}]
    twins = {f"{n}{side}": {**row, "email": f"{row['last_name']}{n}@mail.net"}
             for n, row in enumerate(persons) for side in "ab"}  # fmt: skip
    ids = add(sessions, {**twins, **numbered(population(200, 7))})
    run(sessions, reviews.ALL)
    assert joined(sessions, ids, "0a", "0b")
    assert joined(sessions, ids, "1a", "1b")
    say(sessions, ids, "0b", **OTHER)  # shares no key any more
    say(sessions, ids, "1b", first_name="grace", birth_date="1906-01-31", phone="12025550123")
    done = run(sessions, reviews.NEW)
    assert done["records"] == 2
    assert done["outscored"] == 2
    for n in "01":
        assert held(sessions, ids, f"{n}a", f"{n}b") == "outscored"
        assert not joined(sessions, ids, f"{n}a", f"{n}b")
    run(sessions, reviews.ALL)
    assert not joined(sessions, ids, "0a", "0b")
    assert not joined(sessions, ids, "1a", "1b")
    say(sessions, ids, "1b", **twins["1b"])
    run(sessions, reviews.NEW)
    assert joined(sessions, ids, "1a", "1b")


def test_a_match_is_not_taken_back_because_a_flood_leaves_its_keys_out(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add(sessions, {"ada": {**ADA, **MAIL}, "also ada": {**ADA, **MAIL},
                         **numbered(population(200, 7))})  # fmt: skip
    run(sessions, reviews.ALL)
    monkeypatch.setattr("identity.candidates.PAIRS_AT_LEAST", 0)
    monkeypatch.setattr("identity.candidates.PAIRS_PER_NEW", 0)
    say(sessions, ids, "ada", city="london")
    done = run(sessions, reviews.NEW)
    assert (done["records"], done["outscored"]) == (1, 0)
    assert joined(sessions, ids, "ada", "also ada")


def waiting(sessions: Sessions, ids: Named) -> dict[frozenset[str], tuple[float, int]]:
    """Return the undecided reviews of these, with probability and run."""
    names = {i: name for name, i in ids.items()}
    query = "SELECT * FROM identity.review WHERE decision IS NULL"
    with sessions() as session:
        return {
            frozenset((names[r.left_id], names[r.right_id])): (r.probability, r.run_id)
            for r in session.execute(sa.text(query))
            if r.left_id in names and r.right_id in names
        }


@pytest.mark.parametrize("scope", [reviews.NEW, reviews.ALL])
def test_reviews_that_are_in_doubt_no_more_are_closed(sessions: Sessions, scope: str) -> None:
    row = {"first_name": "mary", "last_name": "greena", "postcode": "NW10AB"}
    sides = {f"{n}{side}": {**row, "last_name": f"green{n}lace", "phone": f"44770090000{k}"}
             for n in "abcde" for k, side in enumerate("xy")}  # fmt: skip
    ids = add(sessions, {**sides, **numbered(strangers(300))})
    run(sessions, reviews.ALL)
    pairs = {n: frozenset((f"{n}x", f"{n}y")) for n in "abcde"}
    with sessions.begin() as session:  # as if the run had been in doubt about each of them
        session.execute(sa.text("DELETE FROM identity.review"))
        session.execute(sa.text("DELETE FROM identity.link"))
        for i in ids.values():
            graph.reconsider(session, [i], at=datetime.now(UTC))
        session.execute(
            sa.text(
                "INSERT INTO identity.review (left_id, right_id, weight, probability, evidence,"
                " run_id) SELECT least(a, b), greatest(a, b), 1.6, 0.75, '{}', 1"
                " FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])) t(a, b)"
            ),
            {"a": [ids[f"{n}x"] for n in "abcde"], "b": [ids[f"{n}y"] for n in "abcde"]},
        )
        session.execute(
            sa.text(
                "UPDATE identity.review SET decision = 'no_match' WHERE :x IN (left_id, right_id)"
            ),
            {"x": ids["ex"]},
        )
    say(sessions, ids, "ay", first_name="peter", last_name="hall", postcode="SW20XY")
    say(sessions, ids, "bx", "by", birth_date="1960-03-04", email="mary@mail.net")
    say(sessions, ids, "ey", first_name="peter", last_name="hall", postcode="SW20XY")
    done = run(sessions, scope)
    left = waiting(sessions, ids)
    assert pairs["a"] not in left, "no candidates any more"
    assert pairs["b"] not in left, "one person now"
    assert joined(sessions, ids, "bx", "by")
    assert done["closed"] >= 2
    if scope == reviews.NEW:  # nothing is new about these
        assert left[pairs["c"]] == left[pairs["d"]] == (0.75, 1)
    else:
        assert (0.75, 1) not in left.values()
    with sessions() as session:
        decided = sa.text("SELECT count(*) FROM identity.review WHERE decision = 'no_match'")
        assert session.scalar(decided) == 1


@pytest.mark.parametrize("scope", [reviews.NEW, reviews.ALL])
def test_who_is_parted_and_may_be_one_all_the_same_is_asked_about_in_the_same_run(
    sessions: Sessions, scope: str
) -> None:
    ids = add(sessions, {"ada": {**ADA, **MAIL}, "also ada": {**ADA, **MAIL},
                         **numbered(population(200, 7))})  # fmt: skip
    run(sessions, reviews.ALL)
    assert joined(sessions, ids, "ada", "also ada")
    say(sessions, ids, "ada", city="london")
    with sessions.begin() as session:
        reviews.request_run(session, {"asked_by": "test"}, scope=scope)
    app_matching.run_waiting(sessions, auto=1.0, review=REVIEW)
    assert not joined(sessions, ids, "ada", "also ada")
    assert frozenset(("ada", "also ada")) in waiting(sessions, ids)


def test_a_review_of_who_vanished_is_closed(sessions: Sessions) -> None:
    ids = add(sessions, {"one": ADA, "two": ADA, **numbered(strangers(300))})
    with sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO identity.review (left_id, right_id, weight, probability, evidence,"
                " run_id) VALUES (:a, :b, 1.6, 0.75, '{}', 1)"
            ),
            {"a": ids["one"], "b": ids["two"]},
        )
        session.execute(
            sa.text("UPDATE identity.record SET fields = '{}' WHERE identifier_id = :i"),
            {"i": ids["two"]},
        )
        assert judged.of(session, [ids["two"]]).reviews
    assert run(sessions, reviews.ALL)["closed"] == 1


def once(sessions: Sessions, auto: float, prior: float = 1.0, scope: str = reviews.ALL) -> None:
    """Do one run, by a model that takes matches for so many times as frequent."""
    if prior != 1:
        pin(sessions, prior)
    with sessions.begin() as session:
        reviews.request_run(session, {"asked_by": "test"}, scope=scope)
    app_matching.run_waiting(sessions, auto=auto, review=REVIEW)


def pin(sessions: Sessions, prior: float) -> int:
    """Hold on to the latest model, changed so; return its run."""
    pinned = (
        "UPDATE identity.model SET pinned_at = now(), learnt = jsonb_set(learnt,"
        " '{shares,match}', to_jsonb((learnt #>> '{shares,match}')::float8 * :prior))"
        " WHERE id = (SELECT max(id) FROM identity.model) RETURNING run_id"
    )
    with sessions.begin() as session:
        run_id: int = session.execute(sa.text(pinned), {"prior": prior}).scalar_one()
    return run_id


@pytest.fixture
def ids(sessions: Sessions) -> Named:
    """Two records that may be one person, asked about, among others."""
    one = {**ADA, "city": "london"}
    found = add(sessions, {"ada": one, "also ada": {**one, "last_name": "lovelaec", **MAIL},
                           **numbered(population(200, 7))})  # fmt: skip
    once(sessions, 0.99999)
    return found


def doubt(sessions: Sessions, ids: Named) -> float:
    """Return how likely the two are."""
    said = "SELECT probability FROM identity.review WHERE left_id = :l AND right_id = :r"
    with sessions() as session:
        low, high = sorted((ids["ada"], ids["also ada"]))
        found: float = session.execute(sa.text(said), {"l": low, "r": high}).scalar_one()
    return found


def test_what_learning_anew_moves_a_little_leaves_people_as_they_are(
    sessions: Sessions, ids: Named
) -> None:
    """Matches about as likely as the threshold came and went with each whole run."""
    at = doubt(sessions, ids)
    once(sessions, at - 1e-6)
    assert joined(sessions, ids, "ada", "also ada")
    once(sessions, at - 1e-6, prior=0.8)  # a third of a bit less
    assert joined(sessions, ids, "ada", "also ada")
    once(sessions, at - 1e-6, prior=0.2)  # more than two bits
    assert held(sessions, ids, "ada", "also ada") == "outscored"
    once(sessions, at - 1e-6, prior=1 / 0.16)
    assert joined(sessions, ids, "ada", "also ada")
    once(sessions, at + 1e-6)  # who sets another threshold means what is joined too
    assert held(sessions, ids, "ada", "also ada") == "outscored"


def test_another_threshold_is_meant_until_a_run_over_all_has_gone_by_it(
    sessions: Sessions, ids: Named
) -> None:
    """A run over who is new, which comes within a minute, looks at none of who is joined."""
    at = doubt(sessions, ids)
    once(sessions, at - 1e-6)
    once(sessions, at + 1e-6, scope=reviews.NEW)
    assert joined(sessions, ids, "ada", "also ada")
    once(sessions, at + 1e-6)
    assert held(sessions, ids, "ada", "also ada") == "outscored"


def test_another_lowest_threshold_is_meant_too(sessions: Sessions, ids: Named) -> None:
    """Who sets the usual one to what it is already lifts the lowest, and nothing else."""
    at = doubt(sessions, ids)
    usual = at + 1e-6
    afforded = "UPDATE identity.model SET learnt = jsonb_set(learnt, '{merge}', to_jsonb(:at))"
    for lowest in (at - 1e-6, usual):
        pin(sessions, 1.0)
        with sessions.begin() as session:
            session.execute(sa.text(afforded), {"at": at - 1e-6})
            reviews.request_run(session, {"asked_by": "test"}, scope=reviews.ALL)
        app_matching.run_waiting(sessions, auto=usual, review=REVIEW, lowest=lowest)
        assert joined(sessions, ids, "ada", "also ada") == (lowest < usual)


def test_the_preview_of_a_model_says_what_the_run_by_it_does(
    sessions: Sessions, ids: Named
) -> None:
    """Whom learning anew moves a little stays joined, in the preview as in the run."""
    at = doubt(sessions, ids)
    once(sessions, at - 1e-6)
    for prior in (0.8, 0.2):
        run_id = pin(sessions, prior)
        with sessions() as session:
            found = preview.preview(session, Proposal(model_run=run_id), merge=at - 1e-6)
            who = sa.text("SELECT id, person_id FROM identity.identifier")
            before = {row.id: row.person_id for row in session.execute(who)}
        told = {i: person for person, members in found.after.items() for i in members}
        once(sessions, at - 1e-6)
        with sessions() as session:
            after = {row.id: row.person_id for row in session.execute(who)}
        assert {i: told.get(i, person) for i, person in before.items()} == after
        assert joined(sessions, ids, "ada", "also ada") == (prior == 0.8)
