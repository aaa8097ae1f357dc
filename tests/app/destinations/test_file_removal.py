"""Files in our own data directory hold nobody who is erased, and nobody of who was removed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.destinations import file_removal
from app.privacy import describe, run
from app.settings import Settings
from tests.app.destinations.test_told_as_another import ask
from tests.app.destinations.world import EMAIL, World

PROS = {"trait": "plan", "op": "eq", "value": "pro"}


@pytest.fixture
def folder(settings: Settings) -> Path:
    return settings.home / "exports" / "crm"


def write(people: World, **more: Any) -> dict[str, Any]:
    """A destination that has written of two people."""
    people.people("ada", "bob", plan="pro")
    people.segment("pros", PROS)
    made: dict[str, Any] = people.destination(
        kind="file", settings={"directory": "crm", "parts": 1, **more}, segments=["pros"],
        mapping={"email": {"identifier": "email"}},
    )  # fmt: skip
    people.settle()
    return made


def again(people: World, **more: Any) -> int:
    """Register one for the same directory, and return the status."""
    wanted = {"name": "again", "purpose": "marketing.email", "kind": "file", "segments": ["pros"],
              "settings": {"directory": "crm", **more}}  # fmt: skip
    answer = people.server.post("/v1/destinations", json=wanted, headers=people.header)
    return int(answer.status_code)


def clear(people: World, after: timedelta = timedelta()) -> int:
    with people.sessions.begin() as session:
        return file_removal.clear(session, now=datetime.now(UTC) + after)


def take_out(people: World) -> int:
    people.work()
    return file_removal.take_out(people.sessions, now=datetime.now(UTC))


def names(folder: Path) -> set[str]:
    whole = "".join(path.read_text() for path in folder.glob("part-*"))
    return {name for name in ("ada", "bob") if f"{name}@mail.net" in whole}


def test_files_go_with_their_destination_and_then_the_directory_is_free(
    people: World, folder: Path
) -> None:
    made = write(people)
    (folder / "part-000.csv.new").write_text("ada@mail.net")  # of a process that died
    (folder / "notes.txt").write_text("an operator's own")
    assert names(folder) == {"ada", "bob"}
    assert again(people) == 422, "each would take the other's people for its own"
    assert clear(people) == 0
    path = f"/v1/destinations/{made['id']}"
    assert people.server.delete(path, headers=people.header).status_code == 204
    assert clear(people) == 2
    assert [one.name for one in folder.iterdir()] == ["notes.txt"]
    (folder / "part-000.csv").write_text("ada@mail.net")  # what was under way
    assert again(people) == 422
    assert clear(people, 2 * file_removal.UNDER_WAY) == 1
    assert again(people) == 201
    people.settle()
    assert names(folder) == {"ada", "bob"}
    assert clear(people, 2 * file_removal.UNDER_WAY) == 0
    assert names(folder) == {"ada", "bob"}


def test_of_a_directory_that_two_had_only_what_the_other_wrote_is_left(
    people: World, folder: Path
) -> None:
    """As it could be before that was refused."""
    made = write(people)
    people.identify("bob", plan="pro", town="Nice")
    people.segment("nice", {"trait": "town", "op": "eq", "value": "Nice"})
    people.destination(
        name="other", kind="file", settings={"directory": "other", "parts": 1}, segments=["nice"],
        mapping={"email": {"identifier": "email"}},
    )  # fmt: skip
    people.settle()
    with people.sessions.begin() as session:
        move = "UPDATE app.destination SET settings = jsonb_set(settings, '{directory}', '\"crm\"')"
        session.execute(sa.text(move))
    path = f"/v1/destinations/{made['id']}"
    assert people.server.delete(path, headers=people.header).status_code == 204
    assert clear(people) == 0
    assert clear(people, 2 * file_removal.UNDER_WAY) == 1
    people.now()
    people.settle()
    assert names(folder) == {"bob"}


def test_no_destination_moves_to_the_directory_of_another(people: World) -> None:
    write(people)
    assert again(people, directory="other") == 201
    [other] = [d for d in people.get("/v1/destinations")["data"] if d["name"] == "again"]
    path, body = f"/v1/destinations/{other['id']}", {"settings": {"directory": "crm"}}
    assert people.server.patch(path, json=body, headers=people.header).status_code == 422
    people.patch(path, {"settings": {"directory": "third"}})
    people.patch(path, {"settings": {"directory": "third", "parts": 2}})


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_who_is_erased_is_in_no_file_of_a_destination_that_is_switched_off(
    people: World, folder: Path, settings: Settings, form: str
) -> None:
    made = write(people, format=form)
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": False})
    ada = people.profile("user_id:ada")
    people.now()
    shown = ask(people, settings, "erasure", "user_id:ada")
    [task] = [t for t in shown["tasks"] if t["store"] == "destination"]
    assert task["state"] == "done"
    [part] = folder.iterdir()
    assert ada.encode() not in part.read_bytes()
    assert people.profile("user_id:bob").encode() in part.read_bytes()
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": True})
    people.now()
    people.settle()
    assert ada.encode() not in part.read_bytes()


def test_who_was_told_as_part_of_another_is_out_of_that_ones_row_too(
    people: World, folder: Path, settings: Settings
) -> None:
    made = write(people)
    people.merge("ada", "adas-phone", email="phone@mail.net")
    people.settle()
    people.now()
    people.settle()
    assert "phone@mail.net" in (folder / "part-000.csv").read_text()
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": False})
    people.undo()
    people.now()
    ask(people, settings, "erasure", "anonymous_id:adas-phone", "email:phone@mail.net")
    assert "phone" not in (folder / "part-000.csv").read_text()
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": True})
    people.now()
    people.settle()
    assert names(folder) == {"ada", "bob"}


def test_an_erasure_waits_until_the_files_of_who_was_removed_are_gone(
    people: World, folder: Path, settings: Settings
) -> None:
    made = write(people)
    path = f"/v1/destinations/{made['id']}"
    assert people.server.delete(path, headers=people.header).status_code == 204
    shown = ask(people, settings, "erasure", "user_id:ada")
    assert shown["state"] == "executing"
    assert clear(people, 2 * file_removal.UNDER_WAY) == 1
    assert not folder.exists()
    with people.sessions.begin() as session:
        session.execute(sa.text("UPDATE app.privacy_task SET due_at = now()"))
    run.round_(people.sessions, settings)
    with people.sessions() as session:
        done = describe.whole(session, UUID(shown["id"]), settings, now=datetime.now(UTC))
    [task] = [t for t in done["tasks"] if t["store"] == "destination"]
    assert (done["state"], task["state"]) == ("closed", "not_supported")


@pytest.mark.parametrize("again", [False, True], ids=["for good", "agrees again"])
def test_who_withdraws_is_in_no_file_of_a_destination_that_is_switched_off(
    people: World, folder: Path, again: bool
) -> None:
    """The files are ours: while nothing is sent there, nobody else would put them right."""
    made = write(people)
    path = f"/v1/destinations/{made['id']}"
    people.patch(path, {"enabled": False})
    people.now()
    people.people("cid", plan="pro")  # nothing is added meanwhile
    people.identify("bob", plan="pro", town="Nice")
    people.say("ada", "withdrawn", EMAIL)
    assert (take_out(people), names(folder)) == (1, {"bob"})
    assert "cid" not in (folder / "part-000.csv").read_text()
    assert take_out(people) == 0
    if again:
        people.say("ada")
        assert (take_out(people), names(folder)) == (0, {"bob"})
    people.patch(path, {"enabled": True})
    people.now()
    people.settle()
    assert names(folder) == ({"ada", "bob"} if again else {"bob"})
    assert "cid@mail.net" in (folder / "part-000.csv").read_text()


def test_files_that_somebody_may_be_writing_are_left_alone(people: World, folder: Path) -> None:
    made = write(people)
    people.say("ada", "withdrawn", EMAIL)
    assert (take_out(people), names(folder)) == (0, {"ada", "bob"})  # the batch does it
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": False})
    with people.sessions.begin() as session:  # one that was under way
        session.execute(sa.text("UPDATE app.destination SET not_before = now() + interval '1 min'"))
    assert (take_out(people), names(folder)) == (0, {"ada", "bob"})
    people.now()
    assert (take_out(people), names(folder)) == (1, {"bob"})


def test_files_that_cannot_be_written_keep_no_others_from_it(people: World, folder: Path) -> None:
    made = write(people)
    other = people.destination(
        name="other", kind="file", settings={"directory": "other", "parts": 1}, segments=["pros"],
        mapping={"email": {"identifier": "email"}},
    )  # fmt: skip
    people.settle()
    for one in (made, other):
        people.patch(f"/v1/destinations/{one['id']}", {"enabled": False})
    people.now()
    (folder / "part-000.csv").unlink()
    (folder / "part-000.csv").mkdir()
    people.say("ada", "withdrawn", EMAIL)
    with pytest.raises(OSError, match="part-000"):
        take_out(people)
    assert names(folder.parent / "other") == {"bob"}
