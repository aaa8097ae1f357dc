"""Labelled people files: what is sent of them, and what stays behind."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.cli.labelled import Labelled, read
from app.errors import ImportFailed

COLUMNS = (
    "unique_id,first_name,user_id,loyalty_number,device_id,anonymous_id,email,household,cluster"
)
ROWS = (
    "0,Ada,u-1,L7,d-1,c-1,ada@example.com,h,secret-1",
    "1,Ada,u-1,,,,,h,secret-1",
    "2,Bob,u-2,,d-1,,,h,secret-2",
    "3,Bea,u-2,,,,,h,secret-3",
)


def labelled(
    tmp_path: Path,
    *rows: str,
    columns: str = COLUMNS,
    column: str | None = None,
    mapped: tuple[str, ...] = (),
) -> Labelled:
    file = tmp_path / "people.csv"
    file.write_text("\n".join([columns, *(rows or ROWS)]) + "\n", encoding="utf-8")
    return read(file, "cluster", column, mapped)


def test_logins_cards_devices_and_cookies_are_sent_as_identifiers(tmp_path: Path) -> None:
    call, second, *_ = labelled(tmp_path).calls()
    assert call["userId"] == "u-1"
    assert call["anonymousId"] == "c-1"
    assert call["context"]["device"] == {"id": "d-1"}
    external = {e["type"]: e["id"] for e in call["context"]["externalIds"]}
    assert external == {"record_id": "r-0", "loyalty_id": "L7"}
    assert call["traits"] == {"first_name": "Ada", "email": "ada@example.com"}
    assert "anonymousId" not in second
    assert "device" not in second["context"]


def test_a_record_named_zero_has_a_name_that_identifies_it(tmp_path: Path) -> None:
    file = labelled(tmp_path)
    assert ("record_id", "r-0") in file.labels()
    assert len(file.labels()) == len(ROWS)


def test_no_call_holds_the_truth_or_a_column_without_meaning(tmp_path: Path) -> None:
    sent = json.dumps(list(labelled(tmp_path).calls()))
    assert "secret" not in sent
    assert "cluster" not in sent
    assert "household" not in sent


def test_a_login_of_two_people_has_no_true_cluster(tmp_path: Path) -> None:
    known = labelled(tmp_path).known()
    assert known["user_id", "u-1"] == "secret-1"
    assert known["record_id", "r-2"] == "secret-2"
    assert ("user_id", "u-2") not in known
    assert ("device_id", "d-1") not in known


def test_the_column_that_names_records_is_one_that_tells_them_apart(tmp_path: Path) -> None:
    rows = ("7,u-1,a", "8,u-1,b")
    file = labelled(tmp_path, *rows, columns="unique_id,user_id,cluster")
    assert (file.names, file.meaning) == (["r-7", "r-8"], {"user_id": "user_id"})
    rows = ("7,u-1,Ada,a", "8,u-1,Bob,b")
    numbered = labelled(tmp_path, *rows, columns="n,user_id,name,cluster", column="user_id")
    assert (numbered.names, numbered.meaning) == (["r-0", "r-1"], {"name": "name"})


def test_a_login_that_no_two_records_have_is_no_evidence_unless_it_is_said_to_be(
    tmp_path: Path,
) -> None:
    rows = ("1,ada,Ada,a", "2,ada2,Ada,a")
    headings = "id,username,first_name,cluster"
    file = labelled(tmp_path, *rows, columns=headings)
    assert (file.meaning, file.ignored) == ({"first_name": "first_name"}, ["username"])
    told = labelled(tmp_path, *rows, columns=headings, mapped=("username=user_id",))
    assert told.meaning == {"first_name": "first_name", "username": "user_id"}
    again = labelled(tmp_path, *rows, "3,ada2,Ada,a", columns=headings)
    assert again.meaning == {"first_name": "first_name", "username": "user_id"}


def test_labels_are_compared_as_text_and_none_is_none(tmp_path: Path) -> None:
    file = tmp_path / "people.ndjson"
    labels = ["7", "7", "[1, 2]", "NaN", '" b "', '""', "null"]
    lines = [f'{{"id": {n}, "name": "Ada", "cluster": {one}}}' for n, one in enumerate(labels)]
    file.write_text("\n".join(lines), encoding="utf-8")
    found = read(file, "cluster", None, [])
    assert list(found.labels().values()) == ["7", "7", "[1, 2]", "b"]
    assert found.known().keys() == found.labels().keys()


def test_columns_that_are_not_there_are_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="unique_id, first_name"):
        labelled(tmp_path, column="rec_id")
    with pytest.raises(ImportFailed, match="--truth"):
        labelled(tmp_path, "1,Ada", columns="id,first_name")


def test_a_mapped_column_takes_the_place_of_one_that_was_guessed(tmp_path: Path) -> None:
    file = labelled(
        tmp_path, "1,Ada,Augusta,a", columns="id,name_used,first_name,cluster",
        mapped=("name_used=first_name",),
    )  # fmt: skip
    assert file.meaning == {"name_used": "first_name"}
    assert [call["traits"] for call in file.calls()] == [{"first_name": "Ada"}]


@pytest.mark.parametrize(
    ("mapped", "says"),
    [
        ("firstname", "column=meaning"),
        ("givn=first_name", "no column"),
        ("cluster=first_name", "no column"),
        ("a=shoe_size", "birth_month"),
    ],
)
def test_what_cannot_be_mapped_is_said(tmp_path: Path, mapped: str, says: str) -> None:
    with pytest.raises(ImportFailed, match=says):
        labelled(tmp_path, "1,2,a", columns="id,a,cluster", mapped=(mapped,))


def test_a_file_of_which_nothing_is_known_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="--map shoe=last_name"):
        labelled(tmp_path, "1,2,a", columns="id,shoe,cluster")


def test_a_column_may_mean_a_part_of_the_birth_date(tmp_path: Path) -> None:
    file = labelled(
        tmp_path, "1,49,1949,a", columns="id,d,y,cluster", mapped=("d=birth_day", "y=birth_year")
    )
    assert file.meaning == {"d": "birth_day", "y": "birth_year"}


def test_ages_are_compared_as_years_of_birth(tmp_path: Path) -> None:
    rows = "\n".join(
        f"{n},Ada,{age},a"
        for n, age in enumerate(("36", "36.0", "36 yrs", " 36 ", "0", "999", "old", "-1", ""))
    )
    file = labelled(tmp_path, rows, columns="id,first_name,age,cluster")
    assert file.meaning == {"first_name": "first_name", "age": "birth_year"}
    this_year = datetime.now(UTC).year
    born = [call["traits"].get("birth_year") or None for call in file.calls()]
    assert born == [*[str(this_year - 36)] * 4, str(this_year), *[None] * 4]


def test_a_date_of_birth_goes_before_an_age_and_a_column_may_mean_one(tmp_path: Path) -> None:
    dated = labelled(tmp_path, "1,36,1815-12-10,a", columns="id,age,dob,cluster")
    assert dated.meaning == {"dob": "birth_date"}
    told = labelled(tmp_path, "1,36,a", columns="id,jahre,cluster", mapped=("jahre=age",))
    assert told.meaning == {"jahre": "birth_year"}


def test_what_is_used_and_what_is_not_is_told(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    text = "unique_id; cluster; first_name; fname_c2; shoe\n1; a; Zoë; x; 40\n2; a; Zoe; x; 41\n"
    file.write_text(text, encoding="latin-1")
    assert read(file, "cluster", None, []).about() == {
        "columns": {"first_name": "first_name"},
        "ignored": ["fname_c2", "shoe"],
        "named_by": "unique_id",
        "truth": "cluster",
        "encoding": "Windows-1252",
    }
