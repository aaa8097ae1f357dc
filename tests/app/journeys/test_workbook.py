"""Maps as workbooks: out and in again without loss, and what is no map is refused."""

import zipfile
from io import BytesIO
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import DefinitionInvalid, MapUnreadable
from app.journeys import workbook
from app.journeys.definition import Journey
from app.journeys.templates import TEMPLATES

STAGES, CHANNELS = 6, 8
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LABELS = st.one_of(
    WORDS, st.fixed_dictionaries({"fr": WORDS}, optional={"en": WORDS}), st.just({"en": "=1+1"})
)
VALUES = st.one_of(st.booleans(), st.integers(-(10**9), 10**9), WORDS)


def whole(**more: Any) -> dict[str, Any]:
    """Return a map of 6 stages and 8 channels with something of every kind."""
    return {
        "key": "whole",
        "name": {"fr": "Tout", "en": "=SUM(A1)"},
        "purpose": "analytics.audience",
        "stage_rule": "latest",
        "value": {"match": {"event": "Order Completed"}, "prop": "total"},
        "lost": [{"event": "Account Closed"}],
        "target": {"nodes": ["t0-0", {"touchpoint": "t1-1", "optional": False}]},
        "objective": {
            "text": {"fr": "+3 points"},
            "kpi": "conversion",
            "target": 0.2,
            "by": "2027-06-30",
            "owner": "=management",
        },
        "scope": {
            "use_case": "Loans",
            "products": ["consumer", "007"],
            "excluded": {"en": "Firms"},
        },
        "owner": "7",
        "parent": {"journey": "macro", "stage": "buy"},
        "kpis": [
            {
                "id": "conversion",
                "name": {"en": "Conversion"},
                "target": 0.2,
                "owner": "12",
                "query": {"analysis": "funnel", "request": {"steps": [{"event": "a"}]}},
                "at": "/rates/raw",
            },
            {"id": "effort", "direction": "down", "description": "By the yearly study"},
        ],
        "stages": [
            {"id": f"s{n}", "order": n, "phase": "during", "owner": "marketing", "kpis": ["effort"]}
            for n in range(STAGES)
        ],
        "channels": [
            {"id": f"c{n}", "family": "remote", "effort_rank": n, "name": f"Channel {n}"}
            for n in range(CHANNELS)
        ],
        "touchpoints": [
            {
                "id": f"t{s}-{c}",
                "stage": f"s{s}",
                "channel": f"c{c}",
                "match": {"all": [{"event": "É «€»"}, {"not": {"prop": "a.b", "value": c}}]},
                "planned": c % 2 == 0,
                "assessment": {"declared": "irritant", "by": "panel, 12 people"},
                "moment_of_truth": s == c,
                "statement": {"fr": "Je remplis mon dossier"},
                "goal": "to be done quickly",
                "emotion": c % 5 - 2,
                "owner": f"{c}",
                "departments": ["middle office", "KYC"],
                "kpis": ["conversion", "effort"],
                "tags": ["=paper"],
            }
            for s in range(STAGES)
            for c in range(CHANNELS)
        ],
        "provenance": [
            {"of": "", "source": "declared", "by": "=workshop", "on": "2026-05-01"},
            {"of": "/touchpoints/t0-0/assessment", "source": "surveyed", "n": 12},
            {
                "of": "/stages/s1",
                "source": "observed",
                "query": {"analysis": "matrix", "request": {"journey": "whole"}},
            },
        ],
        "personae": [{"id": "loyal", "segment": "loyal-customers", "name": {"fr": "Fidèle"}}],
        **more,
    }


def test_67_a_map_of_six_by_eight_comes_back_the_same() -> None:
    journey = Journey.model_validate(whole())
    assert workbook.read(workbook.write(journey)) == journey


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: str(each["key"]))
def test_templates_are_journeys_and_come_back_the_same(template: dict[str, Any]) -> None:
    journey = Journey.model_validate(template)
    assert workbook.read(workbook.write(journey)) == journey


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS, WORDS, VALUES)
def test_no_text_and_no_value_is_lost(name: Any, label: Any, words: str, value: Any) -> None:
    match = {"event": words, "prop": "p", "op": "in", "value": [value, words]}
    touchpoint = {"id": "t", "stage": "s", "channel": "c", "match": match, "name": label}
    journey = Journey.model_validate(
        {
            "key": "k",
            "name": name,
            "stages": [{"id": "s", "order": 1}],
            "channels": [{"id": "c", "family": words}],
            "touchpoints": [touchpoint],
        }
    )
    assert workbook.read(workbook.write(journey)) == journey


def test_a_person_reads_the_map_and_what_looks_like_a_formula_is_text() -> None:
    book = openpyxl.load_workbook(BytesIO(workbook.write(Journey.model_validate(whole()))))
    shown = book["Map"]
    assert [cell.value for cell in shown[1]] == [None, *(f"s{n}" for n in range(STAGES))]
    assert [row[0].value for row in shown.iter_rows(min_row=2)] == [
        f"Channel {n}" for n in range(CHANNELS)
    ]
    assert shown.cell(4, 3).value == "t1-2"
    named = {cell.value: place for place, cell in enumerate(book["Journey"][1], 1)}
    formula = book["Journey"].cell(2, named["name.en"])
    assert (formula.value, formula.data_type) == ("=SUM(A1)", "s")


def edited(sheet: str, row: int, title: str, value: Any) -> bytes:
    """Return a map of which somebody changed one cell in a spreadsheet program."""
    book = openpyxl.load_workbook(BytesIO(workbook.write(Journey.model_validate(whole()))))
    titles = {cell.value: place for place, cell in enumerate(book[sheet][1], 1)}
    book[sheet].cell(row, titles[title]).value = value
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def test_an_edited_cell_is_what_counts() -> None:
    shop = workbook.read(edited("Channels", 3, "family", "face to face"))
    assert shop.channels[1].family == "face to face"
    assert workbook.read(edited("Map", 2, "s0", "anything")) == Journey.model_validate(whole())


def test_an_id_that_looks_like_a_number_is_text() -> None:
    plain = whole(target=None, touchpoints=whole()["touchpoints"][:1])
    plain["stages"][0]["id"] = plain["touchpoints"][0]["stage"] = "1"
    book = openpyxl.load_workbook(BytesIO(workbook.write(Journey.model_validate(plain))))
    book["Stages"]["A2"] = 1
    out = BytesIO()
    book.save(out)
    assert workbook.read(out.getvalue()) == Journey.model_validate(plain)


def test_a_wrong_cell_is_named() -> None:
    with pytest.raises(DefinitionInvalid, match=r"/touchpoints/0/stage: unknown stage 'nowhere'"):
        workbook.read(edited("Touchpoints", 2, "stage", "nowhere"))
    with pytest.raises(MapUnreadable, match="Touchpoints, row 2"):
        workbook.read(edited("Touchpoints", 2, "match (JSON)", "{not json"))
    with pytest.raises(DefinitionInvalid, match=r"1/planned \(sheet Touchpoints, row 3\)"):
        workbook.read(edited("Touchpoints", 3, "planned", "perhaps"))
    # Of two columns of one title the first would be lost.
    with pytest.raises(MapUnreadable, match="'Channels' has two columns 'id'"):
        workbook.read(edited("Channels", 1, "family", "id"))


def test_blanks_around_a_name_are_no_part_of_it_and_a_row_of_them_is_none() -> None:
    same = Journey.model_validate(whole())
    assert workbook.read(edited("Stages", 2, "id", f" {same.stages[0].id} ")) == same
    assert workbook.read(edited("Stages", len(same.stages) + 2, "id", "  ")) == same


def test_a_sheet_to_be_filled_in_says_what_its_columns_are() -> None:
    plain = Journey.model_validate({**whole(), "provenance": [], "personae": []})
    book = openpyxl.load_workbook(BytesIO(workbook.write(plain)))
    for column, value in enumerate(("vip", "Habitués", "Regulars", "regulars"), 1):
        book["Personae"].cell(2, column).value = value
    out = BytesIO()
    book.save(out)
    [persona] = workbook.read(out.getvalue()).personae
    assert (persona.id, persona.segment) == ("vip", "regulars")


def bomb() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/workbook.xml", b" " * (workbook.LARGEST + 1))
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip",
        b"PK\x03\x04",
        bomb(),
        workbook.write(Journey.model_validate(whole()))[:-900],
    ],
    ids=["empty", "text", "head", "bomb", "cut off"],
)
def test_what_is_no_workbook_is_refused(content: bytes) -> None:
    with pytest.raises(MapUnreadable):
        workbook.read(content)


def test_a_workbook_of_something_else_is_refused() -> None:
    book, out = openpyxl.Workbook(), BytesIO()
    book.save(out)
    with pytest.raises(MapUnreadable, match="no sheet 'Journey'"):
        workbook.read(out.getvalue())
