"""Several requests of one person: each is carried out, whatever the others are (art. 12 to 22)."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from api.cli import root
from app.errors import PrivacyRequestInvalid
from app.privacy import overtaken, run
from app.suppression import gate
from consent import catalogue, restrictions
from consent.purposes import Purpose, below
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ada
from tests.app.privacy.test_opendsr import body
from tests.app.privacy.test_rectification import shown

Token = Callable[..., dict[str, str]]
UNKNOWN = ("marketing.emial", "Marketing.email", "", " ", "*", "x" * 200)
NOT_SAID = ("", "   ", "\t\n", "\u200b", "–")


@pytest.fixture
def officer(token: Token) -> dict[str, str]:
    return token("privacy:read", "privacy:process")


def asked(world: World, officer: dict[str, str], kind: str, *who: str, **more: Any) -> Any:
    answer = world.server.post(
        "/v1/privacy/requests",
        json={"kind": kind, "identifiers": list(who), **more},
        headers=officer,
    )
    return answer.json() | {"status": answer.status_code}


def objections(world: World) -> set[tuple[str, str | None]]:
    with world.sessions() as session:
        found = restrictions.of(session, [("user_id", "ada-1815")], at=datetime.now(UTC))
    return {(one.kind, one.purpose_key) for one in found}


def test_other_details_are_another_request(world: World, officer: dict[str, str]) -> None:
    ada(world)
    for trait, value in (("lastName", "King"), ("email", "countess@example.org")):
        asked(
            world, officer, "rectification", "user_id:ada-1815",
            details={"trait": trait, "value": value}, attested="a letter",
        )  # fmt: skip
    run.round_(world.sessions, world.settings)
    assert '"countess@example.org"' in shown(world)
    assert '"king"' in shown(world)
    for purpose in ("ads.share", "marketing"):
        made = asked(
            world, officer, "objection", "user_id:ada-1815",
            details={"purpose": purpose}, attested="a letter",
        )  # fmt: skip
        assert made["state"] == "verified"
    again = asked(
        world, officer, "objection", "user_id:ada-1815",
        details={"purpose": "marketing"}, attested="a second letter",
    )  # fmt: skip
    assert again["state"] == "duplicate_of"
    run.round_(world.sessions, world.settings)
    assert objections(world) == {("objection", "ads.share"), ("objection_marketing", None)}


def test_what_nobody_has_shown_to_be_the_persons_stands_in_the_way_of_nothing(
    world: World, officer: dict[str, str], token: Token
) -> None:
    ada(world)
    for more in ((), ("user_id:somebody",)):
        waits = asked(
            world, officer, "objection", "user_id:ada-1815", *more, details={"purpose": "ads"}
        )
        assert waits["state"] == "awaiting_identity"
    theirs = asked(
        world, officer, "objection", "user_id:ada-1815",
        details={"purpose": "ads"}, attested="a letter",
    )  # fmt: skip
    assert theirs["state"] == "verified"
    assert asked(world, officer, "erasure", "user_id:ada-1815")["state"] == "awaiting_identity"
    controller = token("privacy:process")
    sent = world.server.post("/opendsr/requests", json=body(), headers=controller)
    path = f"/opendsr/requests/{sent.json()['subject_request_id']}"
    assert world.server.get(path, headers=controller).json()["request_status"] == "pending"
    run.round_(world.sessions, world.settings)
    assert world.server.get(path, headers=controller).json()["request_status"] == "completed"
    assert world.where("ada-1815") == set()


def test_an_erasure_that_is_under_way_swallows_no_later_one(
    world: World, officer: dict[str, str]
) -> None:
    """It may wait for a receiver for weeks, and takes nothing that came in since."""
    world.send({"type": "identify", "userId": "er-1815", "traits": {"city": "Lyon"}})
    first = asked(world, officer, "erasure", "user_id:er-1815", attested="a letter")
    with world.sessions.begin() as session:
        under_way = "UPDATE app.privacy_request SET state = 'executing' WHERE id = :id"
        session.execute(sa.text(under_way), {"id": first["id"]})
    again = asked(world, officer, "erasure", "user_id:er-1815", attested="a letter")
    assert again["state"] == "verified"
    third = asked(world, officer, "erasure", "user_id:er-1815", attested="a letter")
    assert (third["state"], third["duplicate_of"]) == ("duplicate_of", again["id"])


def test_an_erasure_of_more_is_no_duplicate_and_takes_what_others_hold(
    world: World, officer: dict[str, str]
) -> None:
    for user in ("er-1815", "er-1816"):
        world.send({"type": "identify", "userId": user, "traits": {"city": "Lyon"}})
    narrow = asked(world, officer, "erasure", "user_id:er-1815")
    rights = asked(
        world, officer, "rectification", "user_id:er-1815",
        details={"trait": "note", "value": "marker-right"},
    )  # fmt: skip
    wide = asked(world, officer, "access", "user_id:er-1815", "user_id:bob-7")
    path = f"/v1/privacy/requests/{wide['id']}/checks"
    secrets = {
        who: world.server.post(path, json={"identifier": who}, headers=officer).json()["secret"]
        for who in ("user_id:er-1815", "user_id:bob-7")
    }

    def confirm(who: str) -> None:
        shown = {"identifier": who, "secret": secrets[who]}
        assert world.server.post(f"{path}/confirm", json=shown, headers=officer).is_success

    confirm("user_id:er-1815")
    assert world.ask("erasure", "user_id:er-1815", "user_id:er-1816")["state"] == "closed"
    assert world.where("er-1815", "er-1816", "marker-right") == set()
    for one in (narrow, rights):
        ended = world.shown(one["id"])
        assert (ended["state"], ended["reason"]) == ("no_match", overtaken.ERASED)
    assert world.shown(wide["id"])["state"] == "awaiting_identity"
    confirm("user_id:bob-7")
    assert world.shown(wide["id"])["state"] == "verified"


def test_who_does_not_show_who_they_are_is_held_for_a_stated_time(
    world: World, officer: dict[str, str]
) -> None:
    made = asked(world, officer, "access", "email:grace@example.org")
    due = datetime.fromisoformat(made["due_at"])
    with world.sessions.begin() as session:
        for early in (due - timedelta(seconds=1), datetime.now(UTC) + timedelta(days=29)):
            assert overtaken.unshown(session, by="test", now=early) == 0
        late = max(due, datetime.now(UTC) + timedelta(days=30))
        assert overtaken.unshown(session, by="test", now=late) == 1
    assert world.where("grace@example.org") == set()
    assert world.shown(made["id"])["reason"] == overtaken.NOT_SHOWN


def test_each_request_holds_its_own_restriction(world: World, officer: dict[str, str]) -> None:
    ada(world)
    made = []
    for _ in range(2):
        made.append(
            world.ask("restriction", "user_id:ada-1815", "email:adalovelace@gmail.com")["id"]
        )
        run.round_(world.sessions, world.settings)
    lifted = f"/v1/privacy/requests/{made[0]}/lift"
    assert world.server.post(lifted, headers=officer).json()["lifted"] > 0
    assert objections(world) == {("restriction", None)}
    assert world.server.post(lifted, headers=officer).json()["lifted"] == 0
    world.server.post(f"/v1/privacy/requests/{made[1]}/lift", headers=officer)
    assert objections(world) == set()


def test_what_would_stop_nothing_or_only_fail_is_refused_with_where(
    world: World, officer: dict[str, str]
) -> None:
    for purpose in UNKNOWN:
        made = asked(
            world, officer, "objection", "user_id:ada-1815",
            details={"purpose": purpose}, attested="a letter",
        )  # fmt: skip
        assert (made["status"], made.get("code")) == (422, "privacy-request-invalid"), purpose
        assert "details.purpose" in made["detail"]
    near = asked(
        world, officer, "objection", "user_id:ada-1815", details={"purpose": UNKNOWN[0]}
    )  # fmt: skip
    assert "marketing.email" in near["detail"]
    for details in (
        {"trait": "email", "value": "not an email"},
        {"trait": "phone", "value": 7},
        {"trait": " ", "value": "x"},
        {"trait": "note", "value": "a\0b"},
        {"trait": "note", "value": "x", "purpose": "ads"},
        {},
    ):
        wrong = asked(
            world, officer, "rectification", "user_id:ada-1815", details=details, attested="seen"
        )
        assert wrong["status"] == 422, details
        assert "not an email" not in str(wrong)
    surplus = asked(world, officer, "access", "user_id:a", details={"purpose": "ads"})
    assert surplus["status"] == 422


def test_an_attestation_has_words(world: World, officer: dict[str, str]) -> None:
    waits = asked(world, officer, "access", "user_id:ada-1815")
    path = f"/v1/privacy/requests/{waits['id']}/attestation"
    for how in NOT_SAID:
        made = asked(world, officer, "access", "user_id:ada-1815", attested=how)
        assert made["status"] == 422, repr(how)
        assert world.server.post(path, json={"how": how}, headers=officer).status_code == 422
    assert world.shown(waits["id"])["state"] == "awaiting_identity"
    said = world.server.post(path, json={"how": "Ausweis gesehen"}, headers=officer)
    assert said.json()["state"] == "verified"


def test_a_rectification_that_cannot_succeed_ends_with_its_reason(world: World) -> None:
    ada(world)
    world.ask("erasure", "email:gone@example.org")
    ended = world.ask(
        "rectification", "user_id:ada-1815", details={"trait": "email", "value": "gone@example.org"}
    )
    assert ended["state"] == "failed"
    assert "erased" in ended["reason"]
    assert world.where("gone@example.org") == set()


def test_the_rights_of_who_was_erased_in_part_are_met_for_the_rest(world: World) -> None:
    ada(world)
    world.ask("erasure", "email:gone@example.org")
    done = world.ask("withdraw_all", "email:gone@example.org", "user_id:ada-1815")
    assert done["state"] == "closed"
    assert done["tasks"][0]["result"]["count"] > 0


@pytest.mark.parametrize("kind", ["restriction", "objection", "withdraw_all"])
def test_what_is_demanded_by_who_was_erased_brings_nothing_of_them_back(
    world: World, kind: str
) -> None:
    ada(world)
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    done = world.ask(kind, "user_id:ada-1815")
    assert (done["state"], done["tasks"][0]["state"]) == ("closed", "not_present")
    assert world.where("ada-1815") == set()


def test_equal_requests_at_the_same_time_are_one(
    world: World, officer: dict[str, str], token: Token
) -> None:
    gate.keys_or_new()
    controller = token("privacy:process")
    answers: list[Any] = []

    def at_once(send: Callable[[], Any]) -> None:
        began = threading.Barrier(4)

        def one() -> None:
            began.wait()
            answers.append(send())

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    at_once(lambda: world.server.post("/opendsr/requests", json=body(), headers=controller))
    assert [one.status_code for one in answers] == [201] * 4
    assert len({one.json()["received_time"] for one in answers}) == 1
    answers.clear()
    at_once(lambda: asked(world, officer, "access", "user_id:ada-1815", attested="a letter"))
    assert sorted(one["state"] for one in answers) == ["duplicate_of"] * 3 + ["verified"]


def test_an_objection_to_nothing_known_is_refused_to_commands_too(world: World) -> None:
    with pytest.raises(PrivacyRequestInvalid, match=r"details\.purpose"):
        world.ask(
            "objection",
            "user_id:ada-1815",
            "email:adalovelace@gmail.com",
            details={"purpose": "marketing.emial"},
        )


def test_commands_say_what_is_objected_to_and_what_is_right(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada(world)
    monkeypatch.setenv("PARCOURS_DATABASE_URL", str(world.settings.database_url))
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(world.settings.home))

    def command(*said: str) -> Any:
        done = CliRunner().invoke(root.app, ["privacy", "requests", *said, "--json"])
        return json.loads(done.stdout) if done.exit_code == 0 else done.exit_code

    ada_1815 = "user_id:ada-1815"
    made = command("open", "objection", ada_1815, "--purpose", "ads.share")
    assert made["state"] == "verified"
    command("open", "rectification", ada_1815, "--trait", "lastName", "--value", "King")
    assert command("open", "objection", ada_1815, "--purpose", "ads.shar") == 1
    assert command("open", "rectification", ada_1815) == 1
    run.round_(world.sessions, world.settings)
    assert objections(world) == {("objection", "ads.share")}
    assert '"king"' in shown(world)
    assert command("lift", made["id"])["lifted"] > 0
    assert objections(world) == set()


def test_what_is_lifted_before_it_was_carried_out_sets_nothing_afterwards(
    world: World, officer: dict[str, str]
) -> None:
    ada(world)
    made = asked(
        world, officer, "restriction", "user_id:ada-1815", attested="a letter",
    )  # fmt: skip
    path = f"/v1/privacy/requests/{made['id']}"
    refused = world.server.post(f"{path}/lift", headers=officer)
    assert refused.status_code == 409
    ended = world.server.post(f"{path}/end", json={"state": "revoked_by_subject"}, headers=officer)
    assert ended.status_code == 200, ended.text
    run.round_(world.sessions, world.settings)
    assert objections(world) == set()


def test_a_purpose_that_is_added_while_somebody_objects_to_the_one_above_hears_of_it(
    world: World,
) -> None:
    ada(world)
    added = threading.Event()

    def add() -> None:
        with world.sessions.begin() as session:
            catalogue.add_purpose(session, Purpose("marketing.post", parent="marketing"))
        added.set()

    adding = threading.Thread(target=add)
    with world.sessions.begin() as session:
        catalogue.hold(session)
        adding.start()
        assert not added.wait(0.3), "it waits for what is being written"
        wanted = ["marketing", *below(catalogue.announced(session).values(), "marketing")]
        for one in wanted:
            restrictions.restrict(
                session, [("user_id", "ada-1815")], "objection", reason_ref="request:1",
                at=datetime.now(UTC), purpose_key=one,
            )  # fmt: skip
    adding.join(10)
    assert ("objection", "marketing.post") in objections(world)
