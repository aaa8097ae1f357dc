"""Father and son of one name: what says which is which counts wherever it stands."""

import pytest

from identity.attributes import from_traits
from identity.components import resolve
from identity.guards import Edge, Node
from identity.splink_model import score
from identity.suffixes import generation
from tests.identity.test_splink_model import ADA, sure, table, town


@pytest.mark.parametrize(
    ("traits", "first", "last"),
    [
        ({"name": "John Smith Jr."}, "john", "smith jr"),
        ({"name": "John Smith, Jr."}, "john", "smith jr"),
        ({"name": "Smith, John, Jr"}, "john", "smith jr"),
        ({"name": "Smith, John II"}, "john", "smith ii"),
        ({"name": "Alexandre Dumas père"}, "alexandre", "dumas pere"),
        ({"name": "Ada Lovelace"}, "ada", "lovelace"),
        ({"name": "Junior"}, "junior", None),
        ({"name": "Amartya Sen"}, "amartya", "sen"),
        ({"first_name": "John", "last_name": "Smith", "suffix": "JR"}, "john", "smith jr"),
        ({"first_name": "John", "last_name": "Smith Jr", "name_suffix": "II"}, "john", "smith jr"),
        ({"first_name": "John", "last_name": "Smith", "suffix": "PhD"}, "john", "smith"),
        ({"first_name": "John", "suffix": "III"}, "john iii", None),
    ],
)
def test_a_suffix_stays_with_the_name(
    traits: dict[str, object], first: str, last: str | None
) -> None:
    said = from_traits(traits)
    assert (said.get("first_name"), said.get("last_name")) == (first, last)


@pytest.mark.parametrize(
    ("written", "first", "last"),
    [
        ("Mr. John Smith", "john", "smith"),
        ("SMITH, Mr John", "john", "smith"),
        ("Dr Ada Lovelace, M.D., Ph.D.", "ada", "lovelace"),
        ("Smith, John A., CPA", "john a", "smith"),
        ("Mr John Smith Jr., MD", "john", "smith jr"),
        ("Herr Prof. Dr. Immanuel Kant", "immanuel", "kant"),
        ("Mme Jeanne Dupont", "jeanne", "dupont"),
        ("M. Jean Dupont", "jean", "dupont"),
        ("Sr. Juan Garcia", "juan", "garcia"),
        ("Dr. Kant", None, "kant"),
        # What looks like a title and is a name, or its beginning.
        ("M. K. Gandhi", "m k", "gandhi"),
        ("M. Shyamalan", "m", "shyamalan"),
        ("Smith, JD", "jd", "smith"),
        ("Drew Barry", "drew", "barry"),
        ("Missy Elliott", "missy", "elliott"),
        ("Md Rahman", "md", "rahman"),
        ("Ms", None, None),
    ],
)
def test_titles_and_degrees_are_none_of_the_name(
    written: str, first: str | None, last: str | None
) -> None:
    said = from_traits({"name": written})
    assert (said.get("first_name"), said.get("last_name")) == (first, last)


def test_titles_stand_in_columns_of_first_and_last_names_too() -> None:
    said = from_traits({"first_name": "Mrs. Ada", "last_name": "Lovelace PhD", "city": "Dr"})
    assert said == {"first_name": "ada", "last_name": "lovelace", "city": "dr"}
    assert from_traits({"first_name": "Mr", "last_name": "Smith"}) == {"last_name": "smith"}


def test_suffixes_in_five_languages_say_the_generation() -> None:
    assert [generation(f"x {word}") for word in ("sr", "pere", "fils", "hijo", "filho", "iii")] == [
        1, 1, 2, 2, 2, 3
    ]  # fmt: skip
    assert generation("jr") is None
    assert generation(None, "john jr") == 2


@pytest.mark.parametrize(
    ("father", "son"), [("lovelace sr", "lovelace jr"), ("lovelace pere", "lovelace fils")]
)
@pytest.mark.parametrize("born", [(None, None), ("1957-03-08", "1985-12-10"), ("1957", "1985")])
def test_father_and_son_at_one_address_are_two(
    father: str, son: str, born: tuple[str | None, str | None]
) -> None:
    home = {**ADA, "first_name": "john", "email": None}
    one = {**home, "last_name": father, "birth_date": born[0]}
    other = {**home, "last_name": son, "birth_date": born[1]}
    assert (120, 121) not in sure(score(table([*town(120), one, other])))


def test_one_address_of_father_and_son_joins_them_not() -> None:
    def people(father: str, son: str) -> int:
        nodes = {
            1: Node(1, "crm_id", "given", "john", father),
            2: Node(2, "crm_id", "given", "john", son),
            3: Node(3, "email", "given"),
        }
        edges = [Edge(1, 1, 3, "event"), Edge(2, 2, 3, "event")]
        return len(set(resolve(nodes, edges).person.values()))

    assert people("smith", "smith jr") == 1  # of one nobody knows
    assert people("smith sr", "smith jr") == 2
    assert people("dumas pere", "dumas fils") == 2
