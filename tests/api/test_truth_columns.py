"""Who is who in labelled files as they are published: found, or what to do is said."""

from pathlib import Path

import pytest

from api.cli.labelled import read
from app.errors import ImportFailed


def found(tmp_path: Path, columns: str, *rows: str, truth: str | None = None) -> list[object]:
    """Return the labels of the records of a file, in its order."""
    file = tmp_path / "people.csv"
    file.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return list(read(file, truth, None, []).labels().values())


@pytest.mark.parametrize(
    "name",
    ["cluster", "cluster_id", "entity_id", "ent_id", "PERSON_ID", "gid", "label", "Class"],
)
def test_the_column_of_the_truth_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    rows = ("1,Ada,x,7", "2,Ada,x,7", "3,Bob,x,8")
    assert found(tmp_path, f"id,name,household,{name}", *rows) == ["7", "7", "8"]


def test_a_column_that_numbers_the_records_is_no_truth(tmp_path: Path) -> None:
    rows = ("1,Ada,1,7", "2,Ada,2,7")
    assert found(tmp_path, "person_id,name,label,gid", *rows) == ["7", "7"]


@pytest.mark.parametrize("truth", [None, "rec_id"])
def test_names_of_febrls_records_say_who_is_who(tmp_path: Path, truth: str | None) -> None:
    rows = ("rec-12-org,Ada", "rec-12-dup-0,Adda", "rec-3-org,Bob")
    labels = found(tmp_path, "rec_id,given_name", *rows, truth=truth)
    assert labels == ["rec-12", "rec-12", "rec-3"]


@pytest.mark.parametrize(
    "columns",
    ["ltable_id,rtable_id,label", "first_name_l,first_name_r,match", "left,right,judgement",
     "left_name,right_name,is_match"],
)  # fmt: skip
def test_a_file_of_pairs_is_said_to_be_one(tmp_path: Path, columns: str) -> None:
    with pytest.raises(ImportFailed, match="pairs of records"):
        found(tmp_path, columns, "1,2,1")


def test_two_addresses_and_a_label_make_no_pair(tmp_path: Path) -> None:
    rows = ("Ada,1 Oak St,Flat 2,a", "Ada,1 Oak St,,a")
    assert found(tmp_path, "name,address_1,address_2,label", *rows) == ["a", "a"]


@pytest.mark.parametrize("columns", ["id,name,household,source_id", "id,title,authors,venue"])
def test_without_a_truth_what_to_do_is_said(tmp_path: Path, columns: str) -> None:
    with pytest.raises(ImportFailed, match="--truth"):
        found(tmp_path, columns, "1,a,b,c", "2,a,b,c")


def test_that_a_truth_shows_nothing_is_known(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("n,name\n1,Ada\n2,Bob\n", encoding="utf-8")
    assert read(file, "n", None, []).shows_nothing()
