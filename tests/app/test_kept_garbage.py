"""What was kept before it was known to be garbage joins nobody any more, and previews know it."""

from datetime import UTC, datetime

import sqlalchemy as sa

from app import pipeline, sweeps
from app.db import Sessions
from identity import graph, identifiers, namespaces, people, rebuild, respelling
from identity import sweeps as sweep
from identity.preview import Proposal, preview

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEPT = [("email", "noreply@acme.com"), ("device_id", "(none)"), ("phone", "+33612345678")]


def settle(sessions: Sessions) -> None:
    more = True
    while more:
        more = sweeps.advance(sessions)
        with sessions.begin() as session:
            more |= not pipeline.step(session, limit=1000).idle


def test_stored_values_that_are_garbage_by_the_rules_of_now_let_go_of_who_they_joined(
    sessions: Sessions,
) -> None:
    assert {identifiers.normalise(*name) for name in KEPT} == {None}
    cards = [("crm_id", f"c{n}") for n in range(6)]
    with sessions.begin() as session:
        ids = graph.identify(session, [*KEPT, *cards, ("case_id", "NA")])
        links = [graph.Evidence(ids[cards[2 * n + side]], ids[name], "event", "identify", NOW)
                 for n, name in enumerate(KEPT) for side in (0, 1)]  # fmt: skip
        graph.reconsider(session, graph.observe(session, links), at=NOW)
        assert len(set(people.people_of(session, ids.values()).values())) == 4
    for _ in range(2):  # safe to repeat
        with sessions.begin() as session:
            sweep.request(session, respelling.SPELLING, respelling.rules())
        settle(sessions)
        with sessions() as session:
            assert len(set(people.people_of(session, ids.values()).values())) == len(ids)
            assert people.held_counts(session) == {"blocked": 6}
            marked = session.scalars(sa.text("SELECT id FROM identity.identifier WHERE garbage"))
            assert set(marked) == {ids[name] for name in KEPT}
            again = rebuild.rebuild(session, check=True)
            assert (again.identifiers_differing, again.links_differing) == (0, 0)


def test_a_preview_of_rules_for_a_namespace_leaves_its_garbage_blocked(sessions: Sessions) -> None:
    with sessions.begin() as session:
        ids = graph.identify(session, [("email", "noreply@acme.com"), ("crm_id", "a"),
                                       ("crm_id", "b")])  # fmt: skip
        kept, one, other = ids.values()
        links = [graph.Evidence(i, kept, "event", "identify", NOW) for i in (one, other)]
        graph.reconsider(session, graph.observe(session, links), at=NOW)
        sweep.request(session, respelling.SPELLING, respelling.rules())
    settle(sessions)
    with sessions() as session:
        setting = namespaces.Setting(namespaces.get(session, "email").rules)
        found = preview(session, Proposal(setting), merge=0.95)
        assert (found.looked_at, found.merges, found.splits) == (3, {}, {})
