"""A year of birth without month and day: weaker than a date, and never as good as one."""

import pytest

from identity import blocking
from identity.attributes import from_traits
from identity.birth_dates import birth_date
from identity.components import resolve
from identity.guards import Edge, Node
from identity.splink_model import learn, score, score_new
from tests.identity.test_splink_model import ADA, Person, levels, sure, table, town

#: As a loyalty card has it: no e-mail, phone or street.
CARD: Person = {
    "first_name": "ada", "last_name": "lovelace", "birth_date": "1985", "city": "london",
    "postcode": "NW15LS",
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "year"),
    [("1984", "1984"), (" 1984 ", "1984"), ("05/1984", "1984"), ("1984-05", "1984"),
     ("1900", ""), ("2084", ""), ("84", ""), ("0000", "")],
)  # fmt: skip
def test_of_a_year_alone_the_year_is_kept(written: str, year: str) -> None:
    assert birth_date(written) == year


@pytest.mark.parametrize(
    "traits",
    [{"birthYear": 1984}, {"yob": "1984.0"}, {"année de naissance": "1984"}, {"dob": "1984"},
     {"birth_year": 1984, "birth_month": 5}],
)  # fmt: skip
def test_a_trait_of_a_year_is_one(traits: dict[str, object]) -> None:
    assert from_traits(traits) == {"birth_date": "1984"}


def test_a_date_goes_before_a_year() -> None:
    assert from_traits({"yob": 1984, "dob": "1984-05-02"}) == {"birth_date": "1984-05-02"}


def test_a_year_agrees_with_a_date_of_that_year_and_weighs_less() -> None:
    whole = {**CARD, "birth_date": "1985-12-10"}
    assert levels(CARD, whole)["birth_year"] == "same"
    assert "birth_date" not in levels(CARD, whole)
    assert "birth_year" not in levels(whole, whole)
    assert levels(CARD, {**CARD, "birth_date": "1986"})["birth_year"] == "next year"
    both = [*town(300), CARD, {**CARD, "birth_date": "1957"}, CARD, whole, whole]
    weights = {(p.left, p.right): p.weight for p in score(table(both), threshold=0.0)}
    years, mixed, dates = weights[300, 302], weights[300, 303], weights[303, 304]
    assert weights[300, 301] < years
    assert years == pytest.approx(mixed)
    assert mixed + 1 < dates
    assert (300, 301) not in sure(score(table(both)))


def test_who_comes_with_a_year_is_weighed_as_a_whole_run_would() -> None:
    everybody = table([*town(300), CARD, {**ADA, "email": None, "phone": None}])
    pairs, learnt = learn(everybody, threshold=0.0)
    assert learnt
    keys = {key for _, _, key in blocking.keys_of(everybody)}
    new = score_new(everybody, [300], learnt, keys, threshold=0.0)
    assert new
    [whole], [one] = ([p for p in some if (p.left, p.right) == (300, 301)] for some in (pairs, new))
    assert one.weight == pytest.approx(whole.weight, abs=0.5)
    assert one.evidence["birth_year"] == whole.evidence["birth_year"]


def test_years_are_nothing_that_a_model_without_any_knows() -> None:
    _, learnt = learn(table(town(100)))
    assert learnt
    assert score_new(table([*town(100), CARD]), [100], learnt, [], threshold=0.5) is None


def test_one_year_excuses_no_other_first_name() -> None:
    for born, people in (("1985-12-10", 1), ("1985", 2)):
        nodes = {
            i: Node(i, "crm_id", "given", name, "lovelace", born)
            for i, name in enumerate(("ada", "margaret"), 1)
        }
        found = resolve(nodes, [Edge(1, 1, 2, "event")]).person
        assert len(set(found.values())) == people
