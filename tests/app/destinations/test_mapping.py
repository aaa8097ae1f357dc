"""Traits become fields: types, required fields, and what is wrong is said without a value."""

import pytest

from app.destinations import kinds, mapping
from app.destinations.kind import Target
from app.destinations.segment import Segment, SegmentSettings
from app.errors import DefinitionInvalid

KNOWN = mapping.Known(
    {"age": "36", "vip": "yes", "born": "1815-12-10T08:00:00Z", "tags": ["a", 1], "bad": "x",
     "address": {"city": "Lyon", "lines": ["1 rue A"]}, "home.city": "Nice",
     "home": {"city": "Rome"}, "pets": [{"name": "Rex"}, {"name": "Tom"}, {}]},
    {"spent": 12.5}, {"email": ["ada@mail.net", "b@mail.net"]}, frozenset({"s"}), "p-1",
)  # fmt: skip


def fields(**mapped: object) -> tuple[dict[str, object], list[str]]:
    found = mapping.READER.validate_python(mapped)
    targets = {"years": Target("integer", longest=3), "code": Target("text", longest=2)}
    return mapping.fields(found, targets, KNOWN)


def test_each_source_and_each_type() -> None:
    values, wrong = fields(
        years={"trait": "age"}, vip={"trait": "vip", "type": "boolean"},
        born={"trait": "born", "type": "date"}, at={"trait": "born", "type": "datetime"},
        tags={"trait": "tags"}, spent={"computed": "spent"}, email={"identifier": "email"},
        inside={"segment": "s"}, who={"profile_id": True}, code={"value": "long"},
        text={"trait": "tags", "type": "text"}, none={"trait": "unknown"},
    )  # fmt: skip
    assert wrong == []
    assert values == {
        "years": 36, "vip": True, "born": "1815-12-10", "at": "1815-12-10T08:00:00.000Z",
        "tags": ["a", "1"], "spent": 12.5, "email": "ada@mail.net", "inside": True, "who": "p-1",
        "code": "lo", "text": '["a", 1]', "none": None,
    }  # fmt: skip


def test_a_path_leads_into_a_trait_and_a_key_of_that_name_comes_first() -> None:
    values, wrong = fields(
        city={"trait": "address.city"}, home={"trait": "home.city"}, pets={"trait": "pets.name"},
        first={"trait": "address.lines[]"}, none={"trait": "address.street"},
        deeper={"trait": "age.of"},
    )  # fmt: skip
    assert wrong == []
    assert values == {
        "city": "Lyon", "home": "Nice", "pets": ["Rex", "Tom"], "first": ["1 rue A"],
        "none": None, "deeper": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"trait": "bad", "type": "integer"}, "field f: not of type integer"),
        ({"trait": "bad", "type": "boolean"}, "field f: not of type boolean"),
        ({"trait": "bad", "type": "email"}, "field f: not of type email"),
        ({"trait": "bad", "type": "datetime"}, "field f: not of type datetime"),
        ({"value": "1e999", "type": "number"}, "field f: not of type number"),
        ({"value": 1.5, "type": "integer"}, "field f: not of type integer"),
        ({"trait": "unknown", "required": True}, "field f: required, and there is no value"),
    ],
)
def test_what_does_not_fit_is_named_and_its_value_is_not(source: object, said: str) -> None:
    assert fields(f=source) == ({"f": None}, [said])


@pytest.mark.parametrize(
    "wrong",
    [
        {"f": {}},
        {"f": {"trait": "a", "value": 1}},
        {"f": {"trait": "a", "nonsense": 1}},
        {"f": {"segment": "another"}},
        {"age": {"trait": "a", "type": "text"}},
        {"": {"trait": "a"}},
        {"x" * 300: {"trait": "a"}},
        {f"f{n}": {"trait": "a"} for n in range(300)},
        [],
        "f",
    ],
)
def test_a_mapping_that_cannot_be_is_refused_with_a_pointer(wrong: object) -> None:
    with pytest.raises(DefinitionInvalid, match="#/mapping"):
        mapping.parse(wrong, Segment(), SegmentSettings(), ["s"])


def test_every_kind_says_what_it_needs() -> None:
    for kind in kinds.KINDS.values():
        assert kind.about.endswith(".")
        assert kind.name == kind.name.lower()
        assert 0 < kind.batch <= 1_000
    with pytest.raises(DefinitionInvalid, match="webhook"):
        kinds.of("nonsense")
