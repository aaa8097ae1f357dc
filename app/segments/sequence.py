"""Writes "A then B within so many days without C", of many rules, as one walk over events."""
# ruff: noqa: S608 - only SQL of our own becomes text; what a rule says is bound

from collections.abc import Callable, Sequence
from typing import Any

from app.segments.definition import Sequence as Rule
from app.segments.definition import Step

#: The order of journeys (time, source, the source's own order, arrival): funnels and sequences say
#: the same of events at one moment. Backwards, so that the frame only grows: PostgreSQL adds to a
#: maximum, and cannot take from it. It is that of `happened`, or else PostgreSQL would sort again.
ORDER = (
    "PARTITION BY person_id ORDER BY at DESC, source DESC, place DESC, received_at DESC, id DESC"
)
#: The place of each source in the order of sources, by name as the lake sorts names: by bytes.
SOURCES = '(SELECT id, rank() OVER (ORDER BY name COLLATE "C") AS source FROM app.source)'
_LATER = f"({ORDER} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
_OF_EVENT = ("person_id", "at", "source", "place", "received_at", "id", "nth")


def people(
    rules: Sequence[Rule],
    test: Callable[[Step], str],
    bind: Callable[[Any], str],
    ago: Callable[[float], str],
) -> str:
    """Return a query of person_id and q0, q1, …: of who is in `happened`, who went through which.

    It asks for :now; `test` names the column of `happened` that says which events are a step's,
    `ago` is the moment so many days before now.

    From the last step back (`nth` counts from a person's last event) each event learns the earliest
    end that it leads to, which is also the end with the least in between. All rules walk together,
    a step at a time: events are sorted once, however many rules and events there are.
    """
    walks = [_Walk(number, rule, test) for number, rule in enumerate(rules)]
    columns = [*_OF_EVENT, *dict.fromkeys(c for walk in walks for c in walk.asked)]
    ends = [end for walk in walks for end in walk.ends()]
    walked = f"SELECT {', '.join([*columns, *ends])} FROM happened"
    levels = max(1, *(len(rule.sequence) - 1 for rule in rules))
    for level in range(1, levels + 1):
        said = [one for walk in walks for one in walk.step(level, last=level == levels)]
        walked = f"SELECT {', '.join([*columns, *said])} FROM ({walked}) q WINDOW later AS {_LATER}"
    went = ", ".join(
        f"bool_or({' AND '.join(walk.met(bind, ago))}) AS q{walk.number}" for walk in walks
    )
    return f"SELECT person_id, {went} FROM ({walked}) w GROUP BY person_id"


class _Walk:
    """One rule's part of the walk: `n` is which event is nearest, `t` when, as far as asked for."""

    def __init__(self, number: int, rule: Rule, test: Callable[[Step], str]) -> None:
        self.number, self.rule = number, rule
        self.steps = [test(step) for step in rule.sequence]
        self.unwanted = [test(step) for step in rule.without]
        self.asked = [*self.steps, *self.unwanted]
        alone = len(self.steps) == 1
        timed = rule.within_days is not None
        #: What is known of ends and of what stops, with how PostgreSQL finds the nearest.
        self._end = {} if alone else {"n": "max"} | ({"t": "min"} if timed else {})
        self._stop = ({"t": "min"} if alone else {"n": "max"}) if self.unwanted else {}

    def ends(self) -> list[str]:
        """Return the columns with which the walk begins: events of the last step are ends."""
        return [self._when(self.steps[-1], kind, f"e{self.number}{kind}") for kind in self._end]

    def step(self, level: int, *, last: bool) -> list[str]:
        """Return the columns of a level: the step so far back leads to the ends known after it."""
        place = len(self.steps) - 1 - level
        found = []
        for kind, nearest in self._end.items():
            name = f"e{self.number}{kind}"
            led = f"CASE WHEN {self.steps[place]} THEN {nearest}({name}) OVER later END AS {name}"
            found.append(led if place >= 0 else name)
        if last:
            stops = " OR ".join(self.unwanted)
            for kind, nearest in self._stop.items():
                of = _COLUMN[kind]
                name = f"c{self.number}{kind}"
                found.append(f"{nearest}(CASE WHEN {stops} THEN {of} END) OVER later AS {name}")
        return found

    def met(self, bind: Callable[[Any], str], ago: Callable[[float], str]) -> list[str]:
        """Return the conditions on an event that begins the sequence and goes through it."""
        rule, end, stop = self.rule, f"e{self.number}", f"c{self.number}"
        bounds = [self.steps[0]]
        if rule.since_days is not None:
            bounds.append(f"at >= {ago(rule.since_days)}")
        until = ""
        if rule.within_days is not None:
            seconds = bind(rule.within_days * 86_400)
            until = f"at + make_interval(secs => CAST({seconds} AS float8))"
        if len(self.steps) == 1:  # nothing of the kind came in all of that time, which is over
            over = f"{until} <= CAST(:now AS timestamptz)"
            return [*bounds, over, f"({stop}t IS NULL OR {stop}t > {until})"]
        bounds.append(f"{end}n IS NOT NULL")
        if until:
            bounds.append(f"{end}t <= {until}")
        if self.unwanted:
            bounds.append(f"({stop}n IS NULL OR {stop}n <= {end}n)")
        return bounds

    @staticmethod
    def _when(test: str, kind: str, name: str) -> str:
        return f"CASE WHEN {test} THEN {_COLUMN[kind]} END AS {name}"


_COLUMN = {"n": "nth", "t": "at"}
