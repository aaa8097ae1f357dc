"""All numbers of random histories are those of a plain reference, whatever happens to people.

People are merged, matched and taken apart, consent is given and withdrawn, events come late, at one
time, ahead of time or with a stamp that refuses. After each of it a funnel's steps are the paths,
the cells, the segments and the profiles listed, as of now and as of any moment before. Who is whom
and who allows what is read from the product, and tested elsewhere.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app import pipeline
from app.db import Sessions
from app.journeys import analyses
from app.journeys.asked import FORMS
from app.journeys.definition import Journey
from app.segments import members, preview
from identity import people
from tests.app.journeys import test_funnel_choices_reference as plain
from tests.app.profiles.histories import DAY, NOW, PURPOSE, Event, World

LETTERS = "ABC"
#: The share of numbers that are opened: each is asked for anew.
OPENED = 0.2
JOURNEY = Journey.model_validate({
    "key": "abc", "name": "ABC", "stage_rule": "furthest",
    "stages": [{"id": stage, "order": order} for order, stage in enumerate("abc")],
    "channels": ["crm", "shop", "web"],
    "touchpoints": [
        {"id": f"{name}-{channel}", "stage": name.lower(), "channel": channel,
         "match": {"all": [{"event": name}, {"prop": "by", "op": "eq", "value": channel}]}}
        for name in LETTERS for channel in ("crm", "shop", "web")
    ],
})  # fmt: skip


@dataclass
class Crowd(World):
    """Random people whose events often tie, and rarely lie ahead."""

    ahead: bool = True

    def event(self, number: int) -> Event:
        made = super().event(number)
        if made.type == "track":
            made.name = self.dice.choice("AABBCX")
        else:
            made.name = None  # type: ignore[assignment]  # as calls without a name are stored
        if not self.ahead:
            made.occurred_at = min(made.occurred_at, made.received_at)
        made.occurred_at = made.occurred_at.replace(
            hour=made.occurred_at.hour // 6 * 6, minute=0, second=0
        )
        made.properties = {"by": made.source}
        return made

    def something(self) -> None:
        """What happens between two looks."""
        kind = self.dice.choice(("events", "events", "move", "move", "say"))
        if kind == "events":
            self.happen(self.dice.randrange(1, 8))
        elif kind == "move":
            self.move()
        else:
            some = self.dice.sample(self.ids, self.dice.randrange(1, 4))
            self.say(some, self.dice.choice(("given", "refused", "withdrawn")), self.said())
        self.session.commit()

    def said(self) -> datetime:
        """Decisions come one after the other, in the order in which they are made."""
        self.decisions = getattr(self, "decisions", 0) + 1
        return NOW - 30 * DAY + timedelta(minutes=self.decisions)

    def place(self, event: Event) -> tuple[Any, ...]:
        """The order of journeys: time, source, the source's own order, arrival (§4.0)."""
        later = event.source_seq is None
        return (event.occurred_at, event.source, later, event.source_seq or 0,
                event.received_at, event.id)  # fmt: skip

    def histories(self, as_of: datetime) -> dict[int, list[Event]]:
        """What each person did who may be looked at, as it was known at a moment."""
        found = {}
        for person, identifiers in self.persons().items():
            usable = self.usable(identifiers)
            seen = [e for e in usable if max(e.occurred_at, e.received_at) <= as_of]
            if seen:
                found[person] = sorted(seen, key=self.place)
        return found


class Looker:
    """Asks everything of a moment, and compares it with the plain lists."""

    def __init__(self, sessions: Sessions, lake: Path, crowd: Crowd) -> None:
        self.sessions, self.lake, self.crowd, self.dice = sessions, lake, crowd, crowd.dice
        self.seen: Counter[str] = Counter()

    def look(self, as_of: datetime) -> None:
        self.as_of = as_of
        self.histories = self.crowd.histories(as_of)
        self.words = {
            person: "".join(e.name for e in events if e.type == "track")
            for person, events in self.histories.items()
        }
        with self.sessions() as session:
            everybody = [p for p, ids in self.crowd.persons().items() if ids]
            self.names = {p: str(i) for p, i in people.profile_ids(session, everybody).items()}
        self.funnel()
        self.paths()
        self.matrix()
        self.counts()

    def ask(self, kind: str, **said: Any) -> dict[str, Any]:
        asked = FORMS[kind].model_validate(said).question(JOURNEY)
        answer = analyses.ask(
            self.sessions, self.lake, kind, asked, purpose=PURPOSE, as_of=self.as_of
        )
        assert answer["n_profiles"] == len(self.histories)
        assert answer["n_events"] == sum(map(len, self.histories.values()))
        ahead = self.left_out()
        assert answer["excluded"].get("events:in_the_future", 0) == ahead
        return answer

    def left_out(self) -> int:
        """Events that were received and say that they have not happened yet."""
        return sum(
            e.received_at <= self.as_of < e.occurred_at
            for identifiers in self.crowd.persons().values()
            for e in self.crowd.usable(identifiers)
        )

    def behind(self, answer: Mapping[str, Any], bucket: str, expected: Iterable[int]) -> None:
        """The profiles listed are those people, each of them once; some numbers are opened."""
        if self.dice.random() > OPENED:
            return
        wanted, listed, after = sorted(expected), [], 0
        while True:
            body, following = analyses.profiles(
                self.sessions, self.lake, answer["query_id"], bucket, after=after, limit=4
            )
            assert body["n_profiles"] == len(wanted), bucket
            assert (body["withheld"], body["warnings"]) == ({}, [])
            listed += [one["profile_id"] for one in body["data"]]
            if following is None:
                break
            after = following
        assert listed == [self.names[person] for person in wanted], bucket
        self.seen["opened"] += bool(wanted)

    def made_of(self, answer: Mapping[str, Any], bucket: str, expected: Iterable[int]) -> None:
        """A segment made of a number has those people; it is taken back."""
        with self.sessions() as session:
            rule, _ = analyses.listed(session, self.lake, answer["query_id"], bucket)
            made = members.create(session, key="made", name="made", purpose=PURPOSE, rule=rule)
            pipeline.fill(session, [made], at_once=True)
            assert made.members == len(set(expected))
            rows, _ = members.list_members(session, made, after=None, limit=1000)
            assert {str(row.profile_id) for row in rows} == {self.names[p] for p in expected}
            session.rollback()

    def funnel(self) -> None:
        """Steps, statuses, who is behind them, and how long they took."""
        steps = [{"match": {"event": self.dice.choice(LETTERS)}} for _ in range(3)]
        asked: dict[str, Any] = {"steps": steps, "entry": self.dice.choice(("first", "best"))}
        if self.dice.random() < 0.5:
            asked["window"] = self.dice.choice((0, 6, 48, 24 * 8)) * 3600
        if self.dice.random() < 0.3:
            asked["lost"] = [{"event": "X"}]
        attempts = {}
        end = int((self.as_of - NOW).total_seconds())
        for person, events in self.histories.items():
            told = [
                plain.Event(e.name, int((e.occurred_at - NOW).total_seconds()), None, 0)
                for e in events
            ]
            for attempt in plain.chosen(asked, told, end):
                attempts[person] = attempt
        said = {k: f"PT{v}S" if k == "window" else v for k, v in asked.items()}
        answer = self.ask("funnel", **said)
        status = Counter(attempt.status for attempt in attempts.values())
        reached = {}
        for number, step in enumerate(answer["result"]["steps"], start=1):
            reached[number] = [p for p, a in attempts.items() if a.depth >= number]
            assert step["n"] == len(reached[number]), asked
            self.behind(answer, step["bucket"], reached[number])
        for how in ("converted", "dropped", "in_progress"):
            assert answer["result"]["status"][how] == status[how], (how, asked)
            those = [p for p, a in attempts.items() if a.status == how]
            self.behind(answer, f"status:{how}", those)
            self.seen[how] += status[how]
        self.made_of(answer, "step:2", reached[2])
        taken = self.ask("time-to-convert", **said)
        assert taken["result"]["n"] == status["converted"]
        assert taken["result"]["entered"] == len(reached[1])
        assert sum(one["n"] for one in taken["result"]["bins"]) == status["converted"]
        for one in taken["result"]["bins"]:
            low, high = one["start"], one["end"]
            last = one is taken["result"]["bins"][-1]
            quick = [p for p, a in attempts.items() if a.status == "converted"
                     and (low <= a.seconds < high or (last and a.seconds == high))]  # fmt: skip
            self.behind(taken, one["bucket"], quick)

    def paths(self) -> None:
        """Routes, nodes, links and edges; who takes each."""
        collapse = self.dice.random() < 0.5
        answer = self.ask("paths", start={"event": "A"}, max_depth=None, collapse=collapse,
                          top_variants=1000, top_n=50, max_nodes=200)  # fmt: skip
        routes = {}
        for person, events in self.histories.items():
            word = [e.name for e in events if e.type == "track"]
            if "A" in word:
                route = word[word.index("A") :]
                routes[person] = [n for k, n in enumerate(route)
                                  if not collapse or not k or route[k - 1] != n]  # fmt: skip
        result = answer["result"]
        counted = Counter(map(tuple, routes.values()))
        assert {tuple(one["route"]): one["n"] for one in result["variants"]} == counted
        assert result["paths"] == len(routes)
        for one in result["variants"]:
            self.behind(answer, one["bucket"],
                        [p for p, r in routes.items() if r == one["route"]])  # fmt: skip
        pairs = Counter((k, *pair) for r in routes.values()
                        for k, pair in enumerate(pairwise(r)))  # fmt: skip
        links = result["flow"]["links"]
        assert {(one["step"], one["source"], one["target"]): one["n"] for one in links} == pairs
        edges = Counter(pair for r in routes.values() for pair in pairwise(r))
        graph = result["graph"]["edges"]
        assert {(one["source"], one["target"]): one["n"] for one in graph} == edges
        for one in graph:
            pair = (one["source"], one["target"])
            going = [p for p, r in routes.items() if pair in pairwise(r)]
            assert one["profiles"] == len(going)
            self.behind(answer, one["bucket"], going)
        for node in result["flow"]["nodes"]:
            here = [p for p, r in routes.items() if r[node["step"] : node["step"] + 1]
                    == [node["label"]]]  # fmt: skip
            assert node["n"] == node["profiles"] == len(here)
            assert node["begins"] + node["inflow"] == node["n"]
            assert node["outflow"] + sum(node["ends"].values()) == node["n"]
        self.seen["routes"] += len(routes)
        # The same people by a funnel of two steps, by paths, and by a rule of segments.
        for first in LETTERS:
            steps = [{"event": first}, {"event": "B"}]
            found = self.ask("funnel", steps=steps)["result"]["steps"]
            went = [p for p, w in self.words.items() if "B" in w[w.find(first) + 1 :]
                    and first in w]  # fmt: skip
            assert [one["n"] for one in found] == [
                sum(first in word for word in self.words.values()), len(went)
            ]  # fmt: skip
            if not self.crowd.ahead and self.as_of >= NOW:
                rule = {"sequence": steps, "without": []}
                with self.sessions() as session:
                    shown = preview.preview(session, purpose=PURPOSE, rule=rule, now=self.as_of)
                assert shown["size"] == len(went), rule
                self.seen["segments"] += len(went)

    def matrix(self) -> None:
        """Cells, stages, channels, and where people are now."""
        answer = self.ask("matrix", journey="abc@1")
        touched = {
            person: [(e.name.lower(), e.source) for e in events if e.name and e.name in LETTERS]
            for person, events in self.histories.items()
        }
        result = answer["result"]
        for cell in result["cells"]:
            place = (cell["stage"], cell["channel"])
            here = [p for p, places in touched.items() if place in places]
            assert cell["profiles"] == len(here)
            assert cell["events"] == sum(places.count(place) for places in touched.values())
            self.behind(answer, cell["bucket"], here)
        for stage in result["stages"]:
            there = [p for p, ps in touched.items() if any(s == stage["id"] for s, _ in ps)]
            assert stage["profiles"] == len(there)
            self.behind(answer, f"stage:{stage['id']}", there)
            now = [p for p, ps in touched.items() if ps and max(s for s, _ in ps) == stage["id"]]
            assert stage["current"] == len(now)
            self.behind(answer, f"current:{stage['id']}", now)
        for channel in result["channels"]:
            there = [p for p, ps in touched.items() if any(c == channel["id"] for _, c in ps)]
            assert channel["profiles"] == len(there)
        drops = self.ask("drop-off", journey="abc@1")
        for stage, same in zip(drops["result"]["stages"], result["stages"], strict=True):
            assert stage["reached"] + stage["out_of_order"] == same["profiles"]
            told = {p: "".join(s for s, _ in places) for p, places in touched.items()}
            after = [
                p for p, stages in told.items()
                if stage["stage"] in stages and max(stages[: stages.index(stage["stage"]) + 1])
                > stage["stage"]
            ]  # fmt: skip
            assert stage["out_of_order"] == len(after)
            self.behind(drops, stage["buckets"]["out_of_order"], after)
            parts = ("moved", "dropped", "in_progress", "unknown")
            assert sum(stage[part] for part in parts) == stage["reached"]
        moves = [
            (one, two) for places in touched.values() for (_, one), (_, two) in pairwise(places)
        ]
        switches = self.ask("switches", journey="abc@1")
        assert switches["result"]["pairs"] == result["pairs"] == len(moves)
        counted = Counter(move for move in moves if move[0] != move[1])
        switched = {(m["source"], m["target"]): m["n"] for m in switches["result"]["channels"]}
        assert switched == counted
        self.seen["switches"] += counted.total()

    def counts(self) -> None:
        """Conversions, cohorts and activity, by day."""
        buys = {p: w.count("C") for p, w in self.words.items() if "C" in w}
        answer = self.ask("attribution", conversion={"event": "C"}, label="event")
        assert answer["result"]["conversions"] == sum(buys.values())
        assert answer["result"]["converters"] == len(buys)
        for credit in answer["result"]["sums"].values():
            given = credit["conversions"] + answer["result"]["unattributed"]
            assert given == pytest.approx(sum(buys.values()))
        days = {
            p: {e.occurred_at.astimezone(UTC).date() for e in events if e.type == "track"}
            for p, events in self.histories.items()
        }
        lively = self.ask("lifecycle", activity={"type": "track"}, unit="day")
        before: set[int] = set()
        for one in lively["result"]["intervals"]:
            day = datetime.fromisoformat(one["start"]).date()
            active = {p for p, own in days.items() if day in own}
            new = {p for p in active if min(days[p]) == day}
            assert (one["active"], one["new"]) == (len(active), len(new)), day
            assert one["returning"] == len((active & before) - new)
            assert one["dormant"] == -len(before - active)
            assert one["active"] == one["new"] + one["returning"] + one["resurrecting"]
            before = active
        sticky = self.ask("stickiness", activity={"type": "track"}, unit="day")
        bars = {bar["intervals"]: bar["profiles"] for bar in sticky["result"]["bars"]}
        active_days = Counter(len(own) for own in days.values() if own)
        assert {k: n for k, n in bars.items() if n} == active_days
        cohorts = self.ask("retention", start={"event": "C"}, unit="day")["result"]["cohorts"]
        assert sum(one["size"] for one in cohorts) == len(buys)


def lived(sessions: Sessions, lake: Path, seed: int, rounds: int) -> Counter[str]:
    dice = random.Random(seed)  # noqa: S311 - reproducible histories, not a secret
    with sessions() as session:
        crowd = Crowd(session, dice, ahead=seed % 2 == 1)
        crowd.begin(10)
        crowd.happen(90)
        session.commit()
        looker = Looker(sessions, lake, crowd)
        for _ in range(rounds):
            for _ in range(dice.randrange(1, 5)):
                crowd.something()
            looker.look(NOW)
            # As it was known before some of it came.
            looker.look(dice.choice(crowd.events).received_at)
        return looker.seen


@pytest.mark.parametrize("seed", [1, 2])
def test_all_numbers_of_a_random_history_are_those_of_a_plain_reference(
    sessions: Sessions, tmp_path: Path, seed: int
) -> None:
    seen = lived(sessions, tmp_path / "lake", seed, rounds=2)
    here = ("opened", "routes", "switches", "converted", *(["segments"] if seed % 2 == 0 else []))
    assert {what: seen[what] > 0 for what in here} == dict.fromkeys(here, True)


@pytest.mark.long
@pytest.mark.parametrize(
    "seed", [3, 4, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in range(5, 13))]
)
def test_all_numbers_of_longer_histories_are_those_of_a_plain_reference(
    sessions: Sessions, tmp_path: Path, seed: int
) -> None:
    lived(sessions, tmp_path / "lake", seed, rounds=12)
