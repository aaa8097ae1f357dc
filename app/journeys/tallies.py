"""What is counted of paths over arrays: routes, and the flow and the graph of their steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from app.journeys.groups import quantile, quantiles
from app.journeys.paths_request import PathsRequest
from app.journeys.trails import HOW, Trails
from app.lake.ordered import Array, begins, numbered

Row = dict[str, Any]
#: Routes are single numbers below this.
MOST = 2**62


@dataclass(frozen=True)
class Ranked:
    """The routes there are: of paths which they take, `route`; of routes, the most frequent first
    and then by their labels, how many take them, and a path that does.
    """

    route: Array
    n: Array
    example: Array

    def listed(self, request: PathsRequest) -> int:
        """How many are told one by one."""
        paths, most = len(self.route), min(request.top_variants, len(self.n))
        return sum(int(n) / paths >= request.min_share for n in self.n[:most])


def ranked(trails: Trails) -> Ranked:
    """Find the routes."""
    base, longest = len(trails.texts) + 1, int(trails.length.max()) if len(trails.length) else 0
    if base**longest < MOST:
        # Digits from the left, nothing below every label: numbers are in the order of routes.
        code: Array = np.zeros(len(trails.length), np.int64)
        for place in range(longest):
            there = trails.length > place
            code *= base
            code[there] += trails.label[trails.first[there] + place] + 1
        route = numbered(code)[1]
    else:
        text = trails.label.astype(">u4").tobytes()
        edges = zip(trails.first.tolist(), trails.length.tolist(), strict=True)
        keys = [text[4 * first : 4 * (first + length)] for first, length in edges]
        rank = {key: place for place, key in enumerate(sorted(set(keys)))}
        route = np.array([rank[key] for key in keys], np.int64)
    n = np.bincount(route)
    order = np.argsort(-n, kind="stable")
    moved: Array = np.empty(len(order), np.int64)
    moved[order] = np.arange(len(order))
    route = moved[route]
    example: Array = np.empty(len(order), np.int64)
    example[route] = np.arange(len(route))
    return Ranked(route, n[order], example)


class Tally:
    """The numbers of some paths, as rows of what they count."""

    def __init__(self, trails: Trails, request: PathsRequest) -> None:
        """Name what is shown: the labels of each step and of the graph that most paths have."""
        self.trails, self.request = trails, request
        self.ranked = ranked(trails)
        self.who = trails.who[trails.path]
        self.labels = len(trails.texts)
        #: The step that all others are counted from.
        self._lowest = int(trails.step.min()) if len(trails.step) else 0
        self.steps = trails.step - self._lowest
        place = self.steps * self.labels + trails.label
        there, where = numbered(place)
        step, label = np.divmod(there, max(self.labels, 1))
        popular = _top(step, label, np.bincount(where, minlength=len(there)), request.top_n)
        self.shown = np.where(popular, label, self.labels)[where]
        counts = np.bincount(trails.label, minlength=self.labels)
        every = np.arange(self.labels)
        common = _top(np.zeros_like(every), every, counts, request.max_nodes)
        self.node = np.where(common, every, self.labels)[trails.label]

    @cached_property
    def _opens(self) -> Array:
        """Which step is the first of its path."""
        return begins(self.trails.path)

    @cached_property
    def _onward(self) -> Array:
        """Where the steps are that another follows."""
        return np.flatnonzero(~self._opens[1:])

    def code(self, text: str | None) -> int:
        """The number of a label, that of the others for None, -1 for one that no step has."""
        if text is None:
            return self.labels
        return self.trails.texts.index(text) if text in self.trails.texts else -1

    def takes(self, route: Sequence[str]) -> Array:
        """Say which paths take a route."""
        trails = self.trails
        found: Array = trails.length == len(route)
        for place, text in enumerate(route):
            at = trails.first[found] + place
            found[found] = trails.label[at] == self.code(text)
        return found

    def between(self, label: Array, source: int, target: int) -> Array:
        """Where the steps are that go from one shown label to another."""
        at = self._onward
        return at[(label[at] == source) & (label[at + 1] == target)]

    def totals(self) -> Row:
        """The figures of all paths."""
        trails = self.trails
        return {
            "paths": len(trails.who),
            "profiles": _distinct(trails.who),
            "without_end": trails.anchored - len(trails.who),
            "earlier": int(np.count_nonzero(trails.earlier)),
            "unlabelled": trails.unlabelled,
            "distinct_routes": len(self.ranked.n),
            **_ends(trails.how),
        }

    def variants(self) -> tuple[list[Row], Row]:
        """The routes that are listed, and how many others there are."""
        trails, ranked = self.trails, self.ranked
        listed = ranked.listed(self.request)
        groups = _Groups(ranked.route, len(ranked.n))
        rows = []
        for place in range(listed):
            paths, example = groups.rows(place), int(ranked.example[place])
            first = int(trails.first[example])
            route = trails.label[first : first + int(trails.length[example])]
            rows.append(
                {
                    "route": [trails.texts[label] for label in route.tolist()],
                    "n": len(paths),
                    "profiles": _distinct(trails.who[paths]),
                    "share": len(paths) / len(ranked.route),
                    "p50": quantile(trails.duration[paths], 0.5),
                    **_ends(trails.how[paths]),
                }
            )
        others = ranked.n[listed:]
        return rows, {"variants": len(others), "n": int(others.sum())}

    def nodes(self) -> list[Row]:
        """The labels of each step: how many come, and what becomes of them."""
        return self._balance(self.steps * (self.labels + 1) + self.shown, stepped=True)

    def places(self) -> list[Row]:
        """The labels of the graph."""
        return self._balance(self.node, stepped=False)

    def links(self) -> list[Row]:
        """From which label of each step to which of the next."""
        return self._edges(self.shown, stepped=True)

    def edges(self) -> list[Row]:
        """From which label of the graph to which."""
        return self._edges(self.node, stepped=False)

    def _balance(self, key: Array, *, stepped: bool) -> list[Row]:
        trails = self.trails
        there, where = numbered(key)
        groups = _Groups(where, len(there))
        begun = np.bincount(where[trails.first], minlength=len(there)).tolist()
        last = where[trails.first + trails.length - 1] * len(HOW) + trails.how
        ends = np.bincount(last, minlength=len(there) * len(HOW)).reshape(-1, len(HOW)).tolist()
        found = []
        for group, code in enumerate(there.tolist()):
            rows = groups.rows(group)
            step, label = divmod(code, self.labels + 1)
            found.append(
                {
                    **self._step(step, stepped=stepped),
                    "label": self._text(label),
                    "n": len(rows),
                    "profiles": _distinct(self.who[rows]),
                    "begins": begun[group],
                    "inflow": len(rows) - begun[group],
                    "outflow": len(rows) - sum(ends[group]),
                    **dict(zip(HOW, ends[group], strict=True)),
                    "order": (step if stepped else 0, -len(rows), label),
                }
            )
        return _in_order(found)

    def _edges(self, label: Array, *, stepped: bool) -> list[Row]:
        at, base = self._onward, self.labels + 1
        key = label[at].astype(np.int64) * base + label[at + 1]
        if stepped:
            key += self.steps[at] * base**2
        pause, who = self.trails.t[at + 1] - self.trails.last_t[at], self.who[at]
        there, where = numbered(key)
        groups = _Groups(where, len(there))
        found = []
        for group, code in enumerate(there.tolist()):
            rows = groups.rows(group)
            rest, target = divmod(code, base)
            step, source = divmod(rest, base)
            p50, p90 = quantiles(pause[rows], 0.5, 0.9)
            found.append(
                {
                    **self._step(step, stepped=stepped),
                    "source": self._text(source),
                    "target": self._text(target),
                    "n": len(rows),
                    "profiles": _distinct(who[rows]),
                    "p50": p50,
                    "p90": p90,
                    "order": (step, -len(rows), source, target),
                }
            )
        return _in_order(found)

    def _step(self, step: int, *, stepped: bool) -> Row:
        return {"step": step + self._lowest} if stepped else {}

    def _text(self, label: int) -> str | None:
        return self.trails.texts[label] if label < self.labels else None


class _Groups:
    """Rows by group, in their order within each."""

    def __init__(self, group: Array, size: int) -> None:
        small = np.uint16 if size < 2**16 else np.int64  # of 16 bits, sorting takes one pass
        self.order = np.argsort(group.astype(small), kind="stable")
        self.edges: Array = np.append(0, np.cumsum(np.bincount(group, minlength=size)))

    def rows(self, group: int) -> Array:
        return self.order[self.edges[group] : self.edges[group + 1]]


def _top(group: Array, label: Array, count: Array, most: int) -> Array:
    """Say which labels are among the most frequent of their group; of equals the first."""
    order = np.lexsort((label, -count, group))
    ordered = group[order]
    firsts = np.flatnonzero(begins(ordered))
    place = np.arange(len(order)) - np.repeat(firsts, np.diff(np.append(firsts, len(order))))
    found: Array = np.empty(len(order), np.bool_)
    found[order] = place < most
    return found


def _ends(how: Array) -> Row:
    return dict(zip(HOW, np.bincount(how, minlength=len(HOW)).tolist(), strict=True))


def _distinct(who: Array) -> int:
    """Count the people of rows that are ordered by them."""
    return int(np.count_nonzero(who[1:] != who[:-1])) + 1 if len(who) else 0


def _in_order(rows: Sequence[Row]) -> list[Row]:
    found = sorted(rows, key=lambda row: row["order"])
    for row in found:
        del row["order"]
    return found
