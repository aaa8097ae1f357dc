"""The decision in SQL, for sets, equals the decision in Python, for one: on random histories."""

import json
import random
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import analysts
from app.consents.permission import decision, kept_out, parameters, permissions
from consent import Choice, Purpose, Voice, decide

STATES = ("given", "given", "refused", "withdrawn")
PURPOSES = (
    *(
        Purpose(
            f"test.{basis}.{mode}",
            lawful_basis=basis,
            mode=mode,
            direct_marketing=basis != "consent",
        )
        for basis in ("consent", "legitimate_interests", "contract")
        for mode in ("most_restrictive", "per_identifier", "latest_explicit")
    ),
    Purpose("test.health", explicit=True),
    Purpose("test.adults", adults_only=True, mode="latest_explicit"),
    Purpose("test.wine", adults_only=True, lawful_basis="contract"),
    Purpose("test.vital", lawful_basis="vital_interests"),
    Purpose("test.public", lawful_basis="public_task", mode="latest_explicit"),
)
#: Whose second version makes grants of the first stale.
RENEWED = ("test.consent.most_restrictive", "test.consent.latest_explicit")
DEMANDS = ("restriction", "objection", "objection_marketing")
GUARDIAN = {"expressed_by": "guardian"}
EVIDENCE: tuple[dict[str, Any], ...] = (
    {}, {}, GUARDIAN, GUARDIAN, {"unproven": True}, {"event_stamp": True}, {"claimed": True},
)  # fmt: skip
HOUR = timedelta(hours=1)


class Population:
    """Random people, written straight into the table: identifiers, groups, histories."""

    def __init__(self, session: Session, seed: int, people: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
        self.session = session
        self.now = datetime.now(UTC)
        for purpose in PURPOSES:
            consent.catalogue.add_purpose(session, purpose)
            if purpose.key in RENEWED:
                again = replace(purpose, version=2, renews=True)
                consent.catalogue.add_purpose(session, again)
        self.rows = [row for n in range(people) for row in self._person(f"{seed}-{n}")]
        session.execute(
            sa.text(
                "INSERT INTO identity.identifier (id, namespace, value, group_id, person_id, "
                "reach_id) OVERRIDING SYSTEM VALUE VALUES (:id, 'user_id', :value, :group_id, "
                ":person_id, :person_id)"
            ),
            self.rows,
        )
        for received_at in {self._time() for _ in range(12)}:
            choices = [c for row in self.rows for c in self._choices(str(row["value"]))]
            consent.record(session, choices, received_at=received_at)
        self.were_children: set[str] = set()
        self._of_fast_clocks()
        self._demands()
        self._ages()

    def _demands(self) -> None:
        """Some demand that use stops: now, from tomorrow on, or until an hour ago."""
        for row in self.dice.sample(self.rows, len(self.rows) // 40):
            start, end = self.dice.choice(((-9, None), (-9, 1), (-9, -1), (24, None)))
            demand = {
                "value": row["value"],
                "kind": self.dice.choice(DEMANDS),
                "purpose": self.dice.choice((None, None, *(p.key for p in PURPOSES))),
                "from": self.now + start * HOUR,
                "to": None if end is None else self.now + end * HOUR,
            }
            self.session.execute(
                sa.text(
                    "INSERT INTO consent.restriction (namespace, value, kind, purpose_key, "
                    "from_at, to_at, reason_ref) VALUES ('user_id', :value, :kind, :purpose, "
                    ":from, :to, 'test')"
                ),
                demand,
            )

    def _ages(self) -> None:
        """Some are children or teenagers: now, until an hour ago, or from tomorrow on."""
        for row in self.dice.sample(self.rows, len(self.rows) // 8):
            start, end = self.dice.choice(((-9, None), (-9, 1), (-9, -1), (24, None)))
            band = {
                "value": row["value"],
                "band": self.dice.choice(("child", "child", "teen")),
                "from": self.now + start * HOUR,
                "to": None if end is None else self.now + end * HOUR,
            }
            if band["band"] == "child" and end == -1:
                self._guarded(str(row["value"]))
            self.session.execute(
                sa.text(
                    "INSERT INTO consent.age_band (namespace, value, band, from_at, to_at, "
                    "stated_by) VALUES ('user_id', :value, :band, :from, :to, 'test')"
                ),
                band,
            )

    def _guarded(self, value: str) -> None:
        """A guardian agreed five hours ago, for who was a child until an hour ago."""
        then = self.now - 5 * HOUR
        self.were_children.add(value)
        agreed = [
            Choice("user_id", value, purpose.key, "given", then, "test",
                   purpose_version=2, evidence=GUARDIAN)
            for purpose in PURPOSES[:3]
        ]  # fmt: skip
        consent.record(self.session, agreed, received_at=then)

    def _of_fast_clocks(self) -> None:
        """Some records that are dated as late as hours from now, as a server's clock was."""
        rows = []
        for row in self.dice.sample(self.rows, len(self.rows) // 3):
            recorded_at = self.now + self.dice.randrange(-3, 30) * HOUR
            effective_at = self.now + self.dice.randrange(-100, 30) * HOUR
            rows.append(
                {
                    "value": row["value"],
                    "purpose": self.dice.choice(PURPOSES).key,
                    "state": self.dice.choice(STATES),
                    "effective_at": effective_at,
                    "recorded_at": recorded_at,
                    "order_time": min(effective_at, recorded_at),
                    "version": self.dice.choice((1, 2)),
                    "notice": json.dumps({"account_wide": self.dice.random() < 0.5}),
                    "evidence": json.dumps(
                        {
                            "unproven": self.dice.random() < 0.2,
                            "event_stamp": self.dice.random() < 0.3,
                            "claimed": self.dice.random() < 0.3,
                            "expressed_by": self.dice.choice(("subject", "guardian")),
                        }
                    ),
                }
            )
            rows[-1]["universal"] = self._universal(str(rows[-1]["state"]))
        self.session.execute(
            sa.text(
                "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, "
                "effective_at, recorded_at, order_time, collected_by, notice, evidence, universal) "
                "VALUES ('user_id', :value, :purpose, :version, :state, :effective_at, "
                ":recorded_at, :order_time, 'test', CAST(:notice AS jsonb), "
                "CAST(:evidence AS jsonb), :universal)"
            ),
            rows,
        )

    def _person(self, name: str) -> list[dict[str, object]]:
        """One to five identifiers; a group is named after its first, like a person."""
        first = self.session.scalar(sa.text("SELECT nextval('identity.identifier_id_seq')")) or 0
        ids = [int(first), *(self._next() for _ in range(self.dice.randrange(5)))]
        groups: list[int] = []
        for i in ids:
            groups.append(i if not groups or self.dice.random() < 0.4 else self.dice.choice(groups))
        return [
            {
                "id": i,
                "value": f"{name}-{i}",
                "group_id": group,
                "person_id": ids[0],
            }
            for i, group in zip(ids, groups, strict=True)
        ]

    def _next(self) -> int:
        return int(
            self.session.scalar(sa.text("SELECT nextval('identity.identifier_id_seq')")) or 0
        )

    def _time(self) -> datetime:
        return self.now - self.dice.randrange(1, 100) * HOUR

    def _choices(self, value: str) -> list[Choice]:
        """Now and then a choice; its clock may be hours behind or ahead, even of now."""
        return [
            Choice(
                "user_id",
                value,
                self.dice.choice(PURPOSES).key,
                state,
                self.now + self.dice.randrange(-100, 30) * HOUR,
                "test",
                purpose_version=self.dice.choice((1, 2)),
                valid_days=self.dice.choice((None, None, 1, 3)),
                notice=self.dice.choice((None, {"account_wide": True})),
                evidence=self.dice.choice(EVIDENCE),
                universal=self._universal(state),
            )
            for state in self.dice.choices(STATES, k=self.dice.choice((0, 0, 0, 1)))
        ]

    def _universal(self, state: str) -> str | None:
        """One in six is a universal opt-out, or a grant that overrides one."""
        if self.dice.random() < 5 / 6:
            return None
        return "override" if state == "given" else "opt_out"

    def expected(self, purpose: Purpose) -> tuple[dict[int, tuple[bool, str]], int]:
        """What each is told, and how many whose guardian had agreed are children no more."""
        keys = [("user_id", str(row["value"])) for row in self.rows]
        history = consent.history(self.session, keys, purpose=purpose.key)
        now = datetime.now(UTC)
        purpose = consent.catalogue.purpose(self.session, purpose.key)
        standings = consent.standings(
            history, at=now, known_at=None, purposes={purpose.key: purpose}
        )
        demands = consent.demands(self.session, keys, at=now)
        people: dict[int, list[tuple[int, int, Voice]]] = defaultdict(list)
        for row in self.rows:
            own, value = int(str(row["id"])), str(row["value"])
            who = "user_id", value
            said = standings.get((*who, purpose.key), consent.UNKNOWN)
            voice = Voice.of(who, said, bar=consent.strictest(purpose, demands.get(who, ())))
            group, person = row["group_id"] or own, row["person_id"] or own
            people[int(str(person))].append((own, int(str(group)), voice))
        found, outgrown = {}, 0
        for members in people.values():
            for own, group, _ in members:
                voices = [replace(v, asserted=g == group) for _, g, v in members]
                acting = next(v for v, m in zip(voices, members, strict=True) if m[0] == own)
                decision = decide(purpose, voices, acting=acting)
                found[own] = decision.allow, decision.reason
                outgrown += (
                    acting.value in self.were_children
                    and acting.guardian
                    and (acting.standing, decision.reason) == ("given", "expired")
                )
        return found, outgrown


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in (2, 3))])
def test_sql_and_python_decide_alike_and_for_the_same_reason(session: Session, seed: int) -> None:
    population = Population(session, seed, people=550)
    mine = {int(str(row["id"])) for row in population.rows}
    reasons: Counter[str] = Counter()
    outgrown = 0
    for purpose in PURPOSES:
        found = {
            p.identifier_id: (p.allowed, p.reason)
            for p in permissions(session, purpose.key)
            if p.identifier_id in mine
        }
        expected, grown = population.expected(purpose)
        assert found == expected
        assert _of_analysts(session, purpose.key, mine) == expected
        reasons.update(reason for _, reason in found.values())
        outgrown += grown
    assert {
        "given", "refused", "withdrawn", "expired", "unknown", "probable_link",
        "lawful_basis:contract", "lawful_basis:legitimate_interests",
        "lawful_basis:vital_interests", "lawful_basis:public_task", "stale_notice", "unproven",
        "not_explicit", "restricted", "objection", "underage", "guardian_needed",
    } == reasons.keys()  # fmt: skip
    assert outgrown, "somebody whose guardian agreed, and who is a child no more"


def _of_analysts(session: Session, purpose: str, ids: set[int]) -> dict[int, tuple[bool, str]]:
    """What the views of analysts decide."""
    read = " SELECT identifier_id, allowed, reason FROM permission"
    rows = session.connection().exec_driver_sql(analysts.decided(purpose) + read)
    return {id_: (allowed, reason) for id_, allowed, reason in rows if id_ in ids}


def test_whom_a_purpose_keeps_out_is_counted_as_one_by_one(session: Session) -> None:
    Population(session, 11, 150)
    sure = replace(PURPOSES[0], key="test.sure", link_confidence="deterministic")
    consent.catalogue.add_purpose(session, sure)
    kinds: set[str] = set()
    for purpose in (*PURPOSES, sure):
        found = consent.catalogue.purpose(session, purpose.key)
        reasons: dict[int, set[str]] = defaultdict(set)
        for one in permissions(session, found):
            reasons[one.person_id].add("" if one.allowed else one.reason)
        counted = Counter(max(why) for why in reasons.values() if "" not in why)
        assert kept_out(session, found) == dict(counted)
        kinds |= counted.keys()
    assert len(kinds) > 5


def test_asking_for_some_people_answers_for_all_their_identifiers_and_nobody_else(
    session: Session,
) -> None:
    population = Population(session, 99, people=60)
    everybody = {p.identifier_id: p for p in permissions(session, PURPOSES[0].key)}
    some = {int(str(r["person_id"] or r["id"])) for r in population.rows[::7]}
    asked = permissions(session, PURPOSES[0].key, some)
    assert {p.person_id for p in asked} == some
    assert all(everybody[p.identifier_id] == p for p in asked)
    assert len(asked) == sum(p.person_id in some for p in everybody.values())
    assert permissions(session, PURPOSES[0].key, []) == []


def test_a_decision_about_one_reads_nothing_of_the_others(session: Session) -> None:
    purpose = consent.catalogue.purpose(session, "marketing.email")
    others = "FROM generate_series(1, 2000) n"
    for crowd in (
        "identity.identifier (id, namespace, value, group_id, person_id, reach_id) "
        f"OVERRIDING SYSTEM VALUE SELECT -n, 'user_id', 'crowd-' || n, -n, -n, -n {others}",
        "consent.record (namespace, value, purpose, purpose_version, state, effective_at, "
        "recorded_at, order_time, collected_by, evidence, universal) SELECT 'user_id', 'crowd-' "
        "|| n, 'marketing.email', 1, CASE WHEN what IS NULL THEN 'given' ELSE 'refused' END, "
        f"now() - age, now() - age, now() - age, 'test', '{{}}', what {others}, "
        "(VALUES ('opt_out', interval '2 days'), (NULL, interval '1 day')) v(what, age)",
        "consent.restriction (namespace, value, kind, from_at, reason_ref) "
        f"SELECT 'user_id', 'crowd-' || n, 'objection_marketing', now(), 'test' {others}",
        "consent.age_band (namespace, value, band, from_at, stated_by) "
        f"SELECT 'user_id', 'crowd-' || n, 'child', now(), 'test' {others}",
    ):
        session.execute(sa.text(f"INSERT INTO {crowd}"))
    for table in ("identity.identifier", "consent.restriction", "consent.age_band"):
        session.execute(sa.text(f"ANALYZE {table}"))
    # But not of the records: nothing is known of the opt-outs.
    [plan] = session.scalar(
        sa.text("EXPLAIN (ANALYZE, FORMAT JSON) " + decision([-7]).text), parameters(purpose, [-7])
    )
    assert _rows(plan["Plan"]) < 100
    assert [p.reason for p in permissions(session, purpose, [-7])] == ["objection"]


def _rows(plan: dict[str, Any]) -> float:
    """What a node and those below it returned, or read and left out."""
    own = sum(plan.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter"))
    return float(own * plan["Actual Loops"]) + sum(map(_rows, plan.get("Plans", ())))


def test_a_purpose_that_is_not_in_the_catalogue_allows_nothing(session: Session) -> None:
    with pytest.raises(consent.PurposeNotFound):
        permissions(session, "no.such")
