"""The matching model on small populations made here, and on Febrl 3 when it is at hand."""

import json
import random
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import pyarrow
import pytest

from identity import blocking, splink_model, waterfall
from identity.attributes import FIELDS, from_traits
from identity.blocking import Table
from identity.known import ScoredPair
from identity.quality import pairwise
from identity.splink_model import learn, score
from tests.real_data import need

pa: Any = pyarrow  # ships no types
ADA: dict[str, str | None] = {
    "first_name": "ada", "last_name": "lovelace", "birth_date": "1985-12-10",
    "email": "countess42@mail.net", "phone": "447700900123", "address": "12 marylebone rd",
    "city": "london", "postcode": "NW15LS",
}  # fmt: skip
Person = dict[str, str | None]


def table(people: Iterable[Mapping[str, str | None]], ids: Iterable[int] | None = None) -> Table:
    rows = list(people)
    keys = list(range(len(rows))) if ids is None else list(ids)
    columns = {field: pa.array([row.get(field) for row in rows], pa.string()) for field in FIELDS}
    return pa.table({"record_id": pa.array(keys, pa.int64()), **columns})


def town(size: int) -> list[Person]:
    """Unrelated people with common names, so that there are strangers to learn from."""
    dice = random.Random(11)  # noqa: S311 -- a seeded population, no secret
    first = "james mary john linda robert susan david karen paul nancy mark lisa kevin ruth".split()
    last = "smith jones brown taylor wilson evans thomas roberts walker wright hall green".split()
    return [
        {
            "first_name": dice.choice(first),
            "last_name": dice.choice(last),
            "birth_date": f"{dice.randint(1940, 2005)}-1{dice.randrange(3)}-{dice.randint(10, 28)}",
            "email": f"user{number}x{dice.randint(100, 999)}@mail.net",
            "phone": f"4477{dice.randint(10**7, 10**8 - 1)}",
            "address": f"{dice.randint(1, 300)} {dice.choice(['oak', 'elm', 'mill', 'high'])} st",
            "postcode": f"NW{dice.randint(10, 99)}AB",
        }
        for number in range(size)
    ]


def sure(pairs: Iterable[ScoredPair]) -> set[tuple[int, int]]:
    return {(pair.left, pair.right) for pair in pairs if pair.probability >= 0.95}


def levels(one: Mapping[str, str | None], other: Mapping[str, str | None]) -> dict[str, str]:
    """Return the degree of agreement of each comparison that has something to say."""
    both = table([*town(120), one, other])
    _, learnt = learn(both)
    assert learnt
    [compared] = waterfall.compare(both, [(120, 121)], learnt)
    bars = compared.waterfall.bars
    return {bar.name: bar.level for bar in bars if bar.level}


def clusters(ids: Iterable[int], pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    parent = {record: record for record in ids}

    def root(record: int) -> int:
        while parent[record] != record:
            parent[record] = parent[parent[record]]
            record = parent[record]
        return record

    for left, right in pairs:
        parent[root(left)] = root(right)
    return {record: root(record) for record in parent}


def test_a_person_written_twice_with_a_typo_is_one_pair() -> None:
    twice = {**ADA, "last_name": "lovelaec", "phone": None, "email": None}
    assert sure(score(table([ADA, twice]))) == {(0, 1)}
    assert sure(score(table([*town(120), ADA, twice]))) == {(120, 121)}


def test_strangers_are_nobodys_pair() -> None:
    assert sure(score(table(town(300)))) == set()


@pytest.mark.parametrize(
    "changed",
    [
        {"first_name": "lovelace", "last_name": "ada"},
        {"last_name": "king"},
        {"birth_date": "1985-10-12"},
        {"address": "3 elm st", "postcode": "BS12AB", "city": "bristol"},
        {"first_name": "lovelave", "last_name": "ada", "email": None},
        {"last_name": "lovelace jr"},
        {"first_name": None, "phone": None},
    ],
    ids=[
        "swapped names",
        "married",
        "day and month exchanged",
        "moved",
        "swapped and misspelt",
        "junior once",
        "no first name",
    ],
)
def test_one_changed_field_does_not_hide_a_person(changed: Person) -> None:
    assert (120, 121) in sure(score(table([*town(120), ADA, {**ADA, **changed}])))


@pytest.mark.parametrize(
    ("short", "name"),
    [("bob", "robert"), ("polly", "mary"), ("manu", "emmanuel"), ("babeth", "elisabeth")],
)
def test_a_nickname_is_the_same_name(short: str, name: str) -> None:
    pet = {**ADA, "first_name": short, "email": None, "phone": None}
    both = [*town(120), pet, {**pet, "first_name": name}]
    assert (120, 121) in sure(score(table(both)))
    other = {**pet, "first_name": "gisbert"}
    assert (120, 121) not in sure(score(table([*town(120), pet, other])))


def test_an_address_that_is_made_of_a_name_says_it() -> None:
    card = {**ADA, "first_name": "wilhelmina", "last_name": "okonkwo", "email": None, "phone": None}
    alone = {"email": "wilhelmina.okonkwo7@mail.net", "postcode": ADA["postcode"]}
    assert (120, 121) in sure(score(table([*town(120), card, alone])))
    number = {"email": "w.7okonkwo@mail.net", "postcode": ADA["postcode"]}
    assert (120, 121) not in sure(score(table([*town(120), card, number])))


@pytest.mark.parametrize(
    "relative",
    [
        {"first_name": "byron", "email": None},
        {"first_name": "ralph", "birth_date": "2012-05-02", "email": None, "phone": None},
        {"birth_date": "1957-03-08", "email": None, "phone": None},
        {"first_name": "anne", "birth_date": "1984-01-19", "phone": None},
    ],
    ids=["twin with the landline", "child", "senior of one name", "spouse with the e-mail"],
)
def test_people_of_one_household_are_not_merged(relative: Person) -> None:
    assert (120, 121) not in sure(score(table([*town(120), ADA, {**ADA, **relative}])))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"last_name": "byron sr"}, {"last_name": "byron junior"}),
        ({"first_name": "george i"}, {"first_name": "george iii"}),
    ],
)
def test_father_and_son_of_one_name_are_two(one: Person, other: Person) -> None:
    lord = {"first_name": "george", "last_name": "byron", "address": ADA["address"],
            "postcode": ADA["postcode"]}  # fmt: skip
    assert (120, 121) not in sure(score(table([*town(120), {**lord, **one}, {**lord, **other}])))
    assert (120, 121) in sure(score(table([*town(120), {**lord, **one}, {**lord, **one}])))


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("12 marylebone rd london nw15ls", "close"),
        ("marylebone house 12 marylebone rd", "close"),
        ("112 marylebone rd london", "moved in town"),
    ],
)
def test_an_address_with_more_on_its_line_is_nearly_the_same(written: str, level: str) -> None:
    assert levels(ADA, {**ADA, "address": written})["address"] == level


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("Hauptstraße 12", "12 Hauptstrasse", "same"),
        ("Hauptstraße 12 a", "12a, Hauptstrasse", "same"),
        ("Hauptstraße 12", "Hauptstraße 98", "moved in town"),
        ("Rue du 8 Mai 1945", "Rue du 8 Mai 1945", "same"),
        ("Тверская улица, 7", "7 Tverskaya ulitsa", "same"),
    ],
)
def test_a_house_has_its_number_before_its_street_or_after_it(
    one: str, other: str, level: str
) -> None:
    written = [{**ADA, **from_traits({"address": street})} for street in (one, other)]
    assert levels(*written)["address"] == level


def test_names_in_two_alphabets_are_compared_and_in_two_scripts_are_not() -> None:
    sergei: dict[str, object] = {"first_name": "Сергей", "last_name": "Иванов", "dob": "1985-12-10"}
    written = levels(from_traits(sergei), from_traits({**sergei, "first_name": "Sergey"}))
    assert (written["first_name"], written["last_name"]) == ("close", "same")
    typo = levels(from_traits(sergei), from_traits({**sergei, "first_name": "Сергеы"}))
    assert typo["first_name"] == "close"
    chinese = levels(
        from_traits({**sergei, "first_name": "小明", "last_name": "王"}),
        from_traits({**sergei, "first_name": "Xiaoming", "last_name": "Wang"}),
    )
    assert not {"first_name", "last_name"} & chinese.keys()


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("alovelace515@analytical.example", "alovelace536@analytical.example", "own name"),
        ("ada.lovelace1@analytical.example", "ada.lovelace21@analytical.example", "own name"),
        ("alovelace515@analytical.example", "alovelcae515@analytical.example", "close user"),
    ],
)
def test_mailboxes_of_one_name_at_one_company_with_other_numbers_are_other_peoples(
    one: str, other: str, level: str
) -> None:
    assert levels({**ADA, "email": one}, {**ADA, "email": other})["email"] == level


def test_a_switchboard_number_links_nobody() -> None:
    callers = [{**person, "phone": "442079460000", "address": None} for person in town(200)]
    assert sure(score(table(callers))) == set()


def test_every_pair_explains_itself() -> None:
    pairs = score(table([*town(200), ADA, {**ADA, "birth_date": "1985-12-11"}]), threshold=0.01)
    assert pairs
    for pair in pairs:
        assert pair.left < pair.right
        assert sum(pair.evidence.values()) == pytest.approx(pair.weight)
        assert pair.probability == pytest.approx(1 / (1 + 2**-pair.weight))
    found = next(pair for pair in pairs if (pair.left, pair.right) == (200, 201))
    assert found.evidence["email"] > 10 > found.evidence["birth_date"] > 0
    assert found.evidence["household"] <= 0
    assert "national_id" not in found.evidence


def test_the_order_of_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splink_model, "_SAMPLE_RECORDS", 100)  # fewer than there are: a real sample
    people = [*town(250), ADA, {**ADA, "phone": None, "first_name": "adda"}]
    ids = list(range(len(people)))
    random.Random(5).shuffle(ids)  # noqa: S311 -- a seeded shuffle, no secret
    again = score(table([people[i] for i in ids], ids))
    assert again == score(table(people)) != []


def test_the_threshold_only_cuts() -> None:
    people = table([*town(100), ADA, {**ADA, "phone": None}])
    every = score(people, threshold=0.0)
    assert len(every) > len(score(people, threshold=0.9)) > 0
    assert score(people, threshold=0.9) == [p for p in every if p.probability >= 0.9]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_hardly_any_records_are_no_trouble(size: int) -> None:
    assert score(table([{**ADA, "email": None}, {}][:size])) == []


def test_columns_without_any_value_are_left_out() -> None:
    empty: list[Person] = [{}, {}, {}]
    assert score(table(empty)) == []
    names = [{"first_name": "ada", "last_name": "lovelace"}] * 3
    assert {key for pair in score(table(names), threshold=0.0) for key in pair.evidence} == {
        "first_name", "last_name", "prior", "household",
    }  # fmt: skip


def test_repeated_record_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="unique"):
        score(table([ADA, ADA], [7, 7]))


def test_a_block_that_explodes_is_skipped_and_its_records_found_by_others() -> None:
    crowd = [{"birth_date": "1985-12-10", "last_name": f"{i}"} for i in range(400)]
    pairs = score(table([*crowd, ADA, {**ADA, "last_name": "lovelaces"}]), threshold=0.0)
    assert [(pair.left, pair.right) for pair in pairs] == [(400, 401)]


@pytest.mark.long
def test_febrl_3_is_matched_with_the_defaults() -> None:
    febrl = need("data/er/febrl3")
    of_file = json.loads((febrl / "meta.json").read_text())["semantics"]
    named = {column: field for field, column in of_file.items() if field != "state"}
    rows = duckdb.read_parquet(str(febrl / "records.parquet"))
    columns = rows.columns
    records = [dict(zip(columns, row, strict=True)) for row in rows.fetchall()]
    people = [from_traits({named[c]: v for c, v in r.items() if c in named}) for r in records]
    pairs = sure(score(table(people)))
    truth = {i: record["cluster"] for i, record in enumerate(records)}
    quality = pairwise(clusters(truth, pairs), truth)
    assert quality.f1 >= 0.98
    assert quality.precision >= 0.99


@pytest.mark.long
def test_a_name_weighs_of_one_new_record_what_it_weighs_in_a_whole_run() -> None:
    """It counted as a common name: of one record of one name all bear it."""
    dice = random.Random(3)  # noqa: S311 -- a seeded population, no secret
    people = [
        {
            "record_id": number,
            "first_name": "".join(dice.choices("abcdefghijk", k=6)),
            "last_name": "".join(dice.choices("lmnopqrstuvw", k=8)),
            "birth_date": f"19{dice.randint(40, 99)}-{dice.randint(1, 12):02}-17",
            "postcode": f"NW{dice.randint(10, 99)}",
        }
        for number in range(1, 1501)
    ]
    twins = [{**row, "record_id": 10_001 + place} for place, row in enumerate(people[::3])]
    everybody = pyarrow.Table.from_pylist([*people, *twins])
    pairs, learnt = learn(everybody, threshold=0.1)
    assert learnt is not None
    [whole] = [pair for pair in pairs if (pair.left, pair.right) == (1, 10_001)]
    two = pyarrow.Table.from_pylist([people[0], twins[0]])
    keys = {key for _, _, key in blocking.keys_of(two)}
    found = splink_model.score_new(two, {1}, learnt, keys, threshold=0.1)
    assert found is not None
    for name in ("first_name", "last_name"):
        assert found[0].evidence[name] == pytest.approx(whole.evidence[name], abs=0.05)


def test_people_with_swapped_names_are_not_taken_for_strangers() -> None:
    """Of a third of the matches, where of some the date of birth is wrong as well."""
    dice = random.Random(5)  # noqa: S311 -- a seeded population, no secret
    people: list[Person] = []
    for number, one in enumerate(town(330)):
        first, last = ("".join(dice.choices("bcdfghklmnprstvw", k=7)) for _ in range(2))
        known: Person = {
            "first_name": first, "last_name": last, "birth_date": one["birth_date"],
        }  # fmt: skip
        swapped: Person = {**known, "first_name": last, "last_name": first}
        if number % 6 == 0:
            swapped["birth_date"] = "1931-01-31"
        people += [known, known if number % 3 else swapped]
    _, learnt = learn(table(people))
    assert learnt
    strangers = learnt.shares.u["first_name"][learnt.shares.levels["first_name"].index("swapped")]
    assert strangers < 1e-5
