"""The golden numbers of research/journeys.md §7 on a real bank's log (BPI Challenge 2012)."""

import itertools
from collections import Counter
from datetime import datetime
from typing import Any

import duckdb
import pytest

from app.imports.xes import XesEvent
from app.journeys.definition import Journey
from app.journeys.funnel import funnel, people
from app.journeys.funnel_answer import FunnelResult
from app.journeys.funnel_request import FunnelRequest
from app.journeys.matrix import matrix
from app.journeys.predicate import POSITION

DATA_END = datetime.fromisoformat("2012-03-14T15:04:54.681Z")
LOAN = ["A_SUBMITTED", "A_PREACCEPTED", "O_SENT", "O_ACCEPTED", "A_ACTIVATED"]
OFFER = ["O_SENT", "O_SENT_BACK", "O_ACCEPTED"]
DECLINED = ["A_SUBMITTED", "A_PARTLYSUBMITTED", "A_DECLINED"]
DAY = 86_400


def ask(connection: duckdb.DuckDBPyConnection, names: list[str], **options: Any) -> FunnelResult:
    request = {"steps": [{"event": name} for name in names], **options}
    return funnel(connection, FunnelRequest.model_validate(request), as_of=DATA_END)


def counts(result: FunnelResult) -> list[int]:
    return [step.n for step in result.steps]


def variants(connection: duckdb.DuckDBPyConnection, where: str = "true") -> list[tuple[str, int]]:
    """Every sequence of name+lifecycle and how many people lived it."""
    return connection.execute(
        f"""WITH ordered AS (
                SELECT person_id, name || properties AS label, {POSITION} AS pos
                FROM event WHERE {where}),
            path AS (
                SELECT string_agg(label, '>' ORDER BY pos) AS path FROM ordered GROUP BY person_id)
            SELECT path, count(*) AS n FROM path GROUP BY path ORDER BY n DESC, path"""  # noqa: S608 - constants of this file
    ).fetchall()


def test_the_log_has_the_published_number_of_events_cases_and_types(
    bpic_events: list[XesEvent],
) -> None:
    assert len(bpic_events) == 262_200
    assert len({event.case_id for event in bpic_events}) == 13_087
    assert len({event.name for event in bpic_events}) == 24
    assert len({(event.name, event.lifecycle) for event in bpic_events}) == 36
    assert bpic_events[0].log_name == "BPI Challenge 2012"


def test_simultaneous_neighbours_keep_the_order_of_their_source(
    bpic_events: list[XesEvent],
    bpic: duckdb.DuckDBPyConnection,
    bpic_shuffled: duckdb.DuckDBPyConnection,
) -> None:
    neighbours = itertools.pairwise(bpic_events)
    assert 13_995 == sum(
        one.case_id == two.case_id and one.timestamp == two.timestamp for one, two in neighbours
    )
    found = variants(bpic)
    assert len(found) == 4_366
    assert [n for _, n in found[:5]] == [3_429, 1_872, 271, 209, 160]
    assert variants(bpic_shuffled) == found


def test_funnels_and_matrices_do_not_depend_on_the_order_of_arrival(
    bpic: duckdb.DuckDBPyConnection, bpic_shuffled: duckdb.DuckDBPyConnection
) -> None:
    for options in ({"window": "P14D"}, {"order": "strict"}, {"entry": "every", "window": "P7D"}):
        one, two = ask(bpic, LOAN, **options), ask(bpic_shuffled, LOAN, **options)
        assert one.model_dump_json() == two.model_dump_json()
    journey = loan_journey(bpic)
    assert (
        matrix(bpic, journey, as_of=DATA_END).model_dump_json()
        == matrix(bpic_shuffled, journey, as_of=DATA_END).model_dump_json()
    )


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (None, [13087, 7367, 5015, 2243, 1834]),
        ("P30D", [13087, 7367, 5015, 2055, 1685]),
        ("P14D", [13087, 7367, 4993, 1084, 882]),
        ("P7D", [13087, 7366, 4932, 126, 97]),
    ],
)
def test_a_shorter_window_loses_those_who_took_longer(
    bpic: duckdb.DuckDBPyConnection, window: str | None, expected: list[int]
) -> None:
    assert counts(ask(bpic, LOAN, window=window)) == expected


def test_any_order_finds_the_activations_that_precede_the_acceptance(
    bpic: duckdb.DuckDBPyConnection,
) -> None:
    assert counts(ask(bpic, LOAN, order="any")) == [13087, 7367, 5015, 2246, 2243]
    backwards = [*LOAN[:3], "A_ACTIVATED", "O_ACCEPTED"]
    assert ask(bpic, backwards).status.converted == 2243 - 1834 == 409


@pytest.mark.parametrize(
    ("window", "entry", "expected"),
    [
        ("P7D", "first", [5015, 1084, 145]),
        ("P7D", "best", [5015, 1339, 308]),
        ("P7D", "every", [5807, 1305, 274]),
        ("P14D", "first", [5015, 2479, 1175]),
        ("P14D", "best", [5015, 2714, 1422]),
        ("P14D", "every", [5411, 2649, 1279]),
    ],
)
def test_the_entry_rule_changes_the_answer_as_published(
    bpic: duckdb.DuckDBPyConnection, window: str, entry: str, expected: list[int]
) -> None:
    result = ask(bpic, OFFER, window=window, entry=entry)
    assert counts(result) == expected
    assert result.semantics.entry == entry


def test_strict_order_refuses_what_loose_order_skips(bpic: duckdb.DuckDBPyConnection) -> None:
    assert counts(ask(bpic, DECLINED, order="strict")) == [13087, 13087, 3429]
    assert counts(ask(bpic, DECLINED)) == [13087, 13087, 7635]


@pytest.mark.parametrize(
    ("window", "converted", "dropped", "in_progress", "raw", "closed"),
    [("P7D", 308, 4671, 36, 0.0614, 0.0619), ("P30D", 2176, 2327, 512, 0.4339, 0.4832)],
)
def test_those_still_inside_their_window_are_not_called_dropped(
    bpic: duckdb.DuckDBPyConnection,
    window: str,
    converted: int,
    dropped: int,
    in_progress: int,
    raw: float,
    closed: float,
) -> None:
    result = ask(bpic, OFFER, window=window)
    assert result.status.model_dump() == {
        "entered": 5015,
        "converted": converted,
        "dropped": dropped,
        "in_progress": in_progress,
        "excluded": 0,
        "removed": 0,
    }
    assert result.rates.raw == pytest.approx(raw, abs=5e-5)
    assert result.rates.closed == pytest.approx(closed, abs=5e-5)


def test_in_progress_of_past_entries_only_shrinks_on_the_real_log(
    bpic: duckdb.DuckDBPyConnection,
) -> None:
    waiting = []
    for day in range(1, 31, 3):
        as_of = datetime.fromisoformat(f"2012-02-{day:02}T00:00Z" if day < 29 else "2012-03-10T00Z")
        request = FunnelRequest.model_validate(
            {
                "steps": [{"event": name} for name in OFFER],
                "window": "P14D",
                "range": {"to": "2012-02-01"},
            }
        )
        status = funnel(bpic, request, as_of=as_of).status
        assert status.entered == status.converted + status.dropped + status.in_progress
        waiting.append(status.in_progress)
    assert waiting == sorted(waiting, reverse=True)
    assert waiting[0] > 0 == waiting[-1]


def test_time_to_convert_is_exact_and_repeatable(bpic: duckdb.DuckDBPyConnection) -> None:
    loan = ask(bpic, LOAN).ttc
    assert loan.p50 is not None
    assert loan.p90 is not None
    assert round(loan.p50 / DAY, 3) == 14.562
    assert round(loan.p90 / DAY, 3) == 28.666
    offer = ask(bpic, OFFER, window="P7D")
    assert offer.ttc.n == 308
    assert offer.ttc.p50 == pytest.approx(446_160.8, abs=0.05)
    assert offer.model_dump_json() == ask(bpic, OFFER, window="P7D").model_dump_json()


def test_the_list_of_people_is_as_long_as_its_bar(bpic: duckdb.DuckDBPyConnection) -> None:
    request = FunnelRequest.model_validate(
        {"steps": [{"event": name} for name in OFFER], "window": "P7D"}
    )
    for step, n in enumerate([5015, 1339, 308], start=1):
        assert len(set(people(bpic, request, as_of=DATA_END, step=step))) == n
    assert len(people(bpic, request, as_of=DATA_END, status="in_progress")) == 36


STAGES = {"A_SUBMITTED": "application", "A_PARTLYSUBMITTED": "application"} | dict.fromkeys(
    ("A_ACTIVATED", "A_REGISTERED", "A_APPROVED"), "loan"
)
CHANNELS = {"A": "web", "W": "phone", "O": "mail"}


def loan_journey(connection: duckdb.DuckDBPyConnection) -> Journey:
    """The stand-in mapping of the research: A_ on the web, W_ by phone, O_ by mail."""
    names = connection.execute("SELECT DISTINCT name FROM event ORDER BY name").fetchall()
    return Journey.model_validate(
        {
            "key": "loan",
            "name": {"fr": "Souscrire un crédit", "en": "Take a loan"},
            "stages": [
                {"id": stage, "order": order}
                for order, stage in enumerate(["application", "file", "offer", "loan"])
            ],
            "channels": ["web", "phone", "mail"],
            "touchpoints": [
                {
                    "id": name.replace(" ", "_"),
                    "stage": STAGES.get(name, "offer" if name[0] == "O" else "file"),
                    "channel": CHANNELS[name[0]],
                    "match": {"event": name},
                }
                for (name,) in names
            ],
        }
    )


def test_the_matrix_counts_channels_and_switches_as_published(
    bpic: duckdb.DuckDBPyConnection,
) -> None:
    result = matrix(bpic, loan_journey(bpic), as_of=DATA_END)
    assert {one.id: (one.events, one.profiles) for one in result.channels} == {
        "phone": (170_107, 9_658),
        "web": (60_849, 13_087),
        "mail": (31_244, 5_015),
    }
    assert (result.pairs, result.switches) == (249_113, 69_630)
    assert result.switch_rate == pytest.approx(0.27951, abs=5e-6)
    moves: Counter[tuple[str, str]] = Counter()
    for cell in result.cells:
        for channel, n in cell.channel_out.items():
            moves[cell.channel, channel] += n
    assert moves["web", "phone"] == 19_351
    assert moves["phone", "web"] == 14_404
    assert moves.total() == 69_630
    assert result.unmapped == 0
    assert {one.id: one.current for one in result.stages} == {
        "application": 0,
        "file": 13_087 - 5_015,
        "offer": 5_015 - 2_246,
        "loan": 2_246,
    }
