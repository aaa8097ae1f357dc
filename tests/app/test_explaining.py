"""Why these two, why not, what holds one together: each reason is met once, in both languages."""

import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

import consent
from app.consents.record import record as record_consent
from app.identities import explaining
from identity import explain as identity_explain
from identity import graph, likeness, people, svg, words
from identity.bars import of_evidence
from tests.app.conftest import ADA, AUTO, NOW, REVIEW, keep


@pytest.fixture
def database_url(matched_url: str) -> str:
    return matched_url


def two(session: Session, left: str, right: str, **more: Any) -> dict[str, Any]:
    asked = {"merge": AUTO, "review": REVIEW, "purpose": None, "language": "en", **more}
    return explaining.two(session, f"crm_id:{left}", f"crm_id:{right}", **asked)


def codes(found: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in found["reasons"]]


def test_a_matched_pair_says_what_splink_weighed_and_the_bars_sum_to_it(
    matched: Session, ids: dict[str, int]
) -> None:
    found = two(matched, "ada", "twice")
    french = two(matched, "twice", "ada", language="fr", purpose=consent.LINK)
    assert found["same_person"]
    assert [link["kind"] for link in found["path"]] == ["match"]
    comparison = found["comparison"]
    query = (
        "SELECT weight FROM identity.link WHERE kind = 'match' AND left_id = :l AND right_id = :r"
    )
    pair = {"l": min(ids["ada"], ids["twice"]), "r": max(ids["ada"], ids["twice"])}
    splinks = matched.scalar(sa.text(query), pair)
    assert comparison["stored"]["match_weight"] == pytest.approx(splinks, abs=1e-9)
    assert comparison["match_weight"] == pytest.approx(splinks, abs=1e-6)
    assert sum(w["weight"] for w in comparison["weights"]) == pytest.approx(splinks, abs=1e-6)
    levels = {w["comparison"]: w["level"] for w in comparison["weights"]}
    assert (levels["birth_date"], levels["last_name"]) == ("same", "close")
    assert "birth_date" in comparison["blocking_rules"]
    assert found["text"][-1].endswith("likely to be one person.")
    assert any("Date de naissance : identique (+" in line for line in french["text"])
    # Values are shown for the purpose they are kept for, and for no other.
    assert found["withheld"] == [
        {"what": "values", "reason": "purpose_not_stated", "identifiers": 2}
    ]
    assert all(w["left"] is None and w["right"] is None for w in comparison["weights"])
    shown = {w["comparison"]: (w["left"], w["right"]) for w in french["comparison"]["weights"]}
    assert shown["last_name"] == ("lovelace", "lovelaec")
    assert french["withheld"] == []
    other = two(matched, "ada", "twice", purpose="marketing.email")
    assert other["withheld"][0]["reason"] == "purpose_limitation"
    assert "lovelaec" not in str(other)


def test_who_refuses_is_not_compared_and_nothing_of_them_is_told(
    matched: Session, ids: dict[str, int]
) -> None:
    for other in ("ada", "stranger"):
        found = two(matched, "refuses", other, purpose=consent.LINK)
        assert codes(found) == ["consent:refused"]
        assert found["comparison"] is None
        assert "lovelace" not in str(found).replace("crm_id", "")
    silent = two(matched, "ada", "silent", purpose=consent.LINK)
    assert codes(silent) == ["no_event", "consent:not_given"]
    assert silent["comparison"] is None


def test_a_match_of_who_refuses_since_tells_no_weight(
    matched: Session, ids: dict[str, int]
) -> None:
    record_consent(matched, "crm_id", "twice", {consent.LINK: "withdrawn"},
                   collected_by="test", received_at=datetime.now(UTC))  # fmt: skip
    changed = graph.set_link_consent(matched, {ids["twice"]: "refused"})
    graph.reconsider(matched, changed, at=NOW)
    found = two(matched, "ada", "twice", purpose=consent.LINK)
    [link] = identity_explain.links(matched, people.find(matched, "crm_id", "twice") or 0)
    assert not found["same_person"]
    assert codes(found) == ["consent:refused"]
    assert found["comparison"] is None
    assert link["held_because"] == "consent:refused"
    assert (link["match_weight"], link["probability"]) == (None, None)
    assert link["evidence"].keys() == {"id"}
    assert "what was compared is not told" in link["text"]
    assert "Not followed: one of the two does not allow being recognised" in link["text"]


def test_values_go_as_soon_as_consent_does_even_before_it_is_mirrored(
    matched: Session, ids: dict[str, int]
) -> None:
    record_consent(matched, "crm_id", "twice", {consent.LINK: "withdrawn"},
                   collected_by="test", received_at=datetime.now(UTC))  # fmt: skip
    found = two(matched, "ada", "twice", purpose=consent.LINK)
    shown = {w["comparison"]: (w["left"], w["right"]) for w in found["comparison"]["weights"]}
    assert shown["last_name"] == (None, None)
    assert sum(w["identifiers"] for w in found["withheld"]) == 2


def test_strangers_share_no_blocking_rule_and_are_weighed_all_the_same(
    matched: Session, ids: dict[str, int]
) -> None:
    found = two(matched, "ada", "stranger")
    assert codes(found) == ["no_event", "no_rule", "below_review"]
    assert found["comparison"]["blocking_rules"] == []
    assert found["comparison"]["probability"] < 0.001
    assert "0.001% likely" in " ".join(found["text"])


def test_a_brother_is_a_candidate_and_below_the_threshold(matched: Session) -> None:
    found = two(matched, "ada", "brother")
    assert "no_rule" not in codes(found)
    assert codes(found)[-1] in ("below_review", "review")
    assert found["comparison"]["blocking_rules"]


def test_decisions_guards_and_undone_links_are_each_a_reason(
    matched: Session, ids: dict[str, int]
) -> None:
    one, other = ids["ada"], ids["twice"]
    people.keep_apart(matched, one, other, by="reviewer", reason="father and son")
    graph.reconsider(matched, {one, other}, at=NOW)
    found = two(matched, "ada", "twice")
    french = two(matched, "ada", "twice", language="fr")
    assert codes(found)[:2] == ["cannot_link", "held"]
    assert found["reasons"][1]["guard"] == "cannot_link"
    assert "father" not in str(found)
    assert any("quelqu'un a décidé qu'ils sont deux" in line for line in french["text"])
    [link] = identity_explain.links(matched, one)
    assert link["text"].endswith("Not followed: somebody decided that they are two.")
    assert "Against it: Last name" not in link["text"]
    logins = graph.identify(matched, [("user_id", "u-1"), ("user_id", "u-2")])
    seen = [graph.Evidence(i, ids["stranger"], "event", "identify", NOW) for i in logins.values()]
    graph.reconsider(matched, graph.observe(matched, seen), at=NOW)
    found = explaining.two(matched, "user_id:u-1", "user_id:u-2", merge=AUTO, review=REVIEW,
                           purpose=None, language="en")  # fmt: skip
    assert not found["same_person"]
    assert codes(found) == ["no_event", "no_record"]


def test_new_records_wait_and_say_so(matched: Session, ids: dict[str, int]) -> None:
    keep(matched, {"late": {**ADA, "email": "late@mail.net"}})
    found = two(matched, "ada", "late")
    assert codes(found) == ["no_event", "waiting", "above_merge"]


def test_a_person_hangs_on_its_weakest_link_and_falls_apart_without(
    matched: Session, ids: dict[str, int]
) -> None:
    made = graph.identify(matched, [("device_id", f"d-{n}") for n in range(3)])
    devices = sorted(made.values())
    pairs = [(ids["ada"], d) for d in devices] + [(devices[0], devices[1])]
    seen = [graph.Evidence(a, b, "event", "identify", NOW) for a, b in pairs]
    graph.reconsider(matched, graph.observe(matched, seen), at=NOW)
    person = people.people_of(matched, [ids["ada"]])[ids["ada"]]
    found = explaining.one(matched, person, "en")
    before = matched.execute(sa.text("SELECT * FROM identity.identifier")).all()
    assert (found["identifiers"], found["followed"]) == (5, 5)
    # Of the two bridges (the match, and the third device) the match is the weaker one.
    assert found["weakest"]["kind"] == "bridge"
    assert [link["kind"] for link in found["weakest"]["links"]] == ["match"]
    assert sorted(map(len, found["weakest"]["parts"])) == [1, 4]
    assert ["crm_id:twice"] in found["weakest"]["parts"]
    assert found["text"][-1] == "Without, it would fall into 2 people of 4 + 1 identifiers."
    assert matched.execute(sa.text("SELECT * FROM identity.identifier")).all() == before
    alone = explaining.one(matched, ids["stranger"], "fr")
    assert alone["weakest"] is None
    assert alone["text"] == ["C'est un seul identifiant."]


def test_the_picture_is_well_formed_escaped_and_says_the_sum() -> None:
    evil = '<script>alert("&")</script>'
    fall = of_evidence(
        {"prior": -17.25, "email": 19.5, evil: 3.0, "household": -0.5}, {"email": evil}
    )
    for language in words.LANGUAGES:
        drawn = svg.draw(fall, language)
        root = ElementTree.fromstring(drawn)  # noqa: S314 -- our own document, made a line above
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
        texts = [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any(evil in text for text in texts)
        assert words.number(language, fall.weight, sign=True) in texts
        width = float(root.attrib["width"])
        for bar in root.iter("{http://www.w3.org/2000/svg}rect"):
            x, wide = float(bar.get("x", 0)), float(bar.attrib["width"])
            assert x >= 0
            assert x + wide <= width


def test_there_are_words_for_every_comparison_level_and_guard() -> None:
    for name, (_, levels) in likeness.COMPARISONS.items():
        assert name in words.NAMES
        for level in levels:
            assert level.label in words.LEVELS, f"{name}: {level.label}"
    for language in words.LANGUAGES:
        assert "limit:user_id" not in words.guard(language, "limit:user_id")
    for table in (words.NAMES, words.LEVELS, words.GUARDS, words.SENTENCES, words.KINDS):
        assert all(english and french for english, french in table.values())


def test_the_routes_answer_in_the_language_that_is_asked_for(
    server: TestClient, token: Any
) -> None:
    asked = {"left": "crm_id:ada", "right": "crm_id:twice"}
    header = token("identity:read", purposes=(consent.LINK,))
    answer = server.get("/v1/identity/explain", params=asked, headers=header)
    assert answer.headers["content-language"] == "en"
    assert answer.json()["text"][0].startswith("crm_id:ada and crm_id:twice are one person")
    french = {**header, "Accept-Language": "de, fr-CA;q=0.8, en;q=0.5"}
    answer = server.get("/v1/identity/explain", params=asked, headers=french)
    assert answer.headers["content-language"] == "fr"
    assert "sont une seule personne" in answer.json()["text"][0]
    answer = server.get("/v1/identity/explain", params={**asked, "language": "en"}, headers=french)
    assert answer.headers["content-language"] == "en"
    shown = server.get(
        "/v1/identity/explain", params={**asked, "purpose": consent.LINK}, headers=header
    )
    assert "lovelaec" in shown.text
    denied = server.get(
        "/v1/identity/explain", params={**asked, "purpose": consent.LINK},
        headers=token("identity:read"),
    )  # fmt: skip
    assert denied.status_code == 403
    drawn = server.get("/v1/identity/explain.svg", params=asked, headers=french)
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert "Date de naissance" in drawn.text
    assert "lovelace" not in drawn.text
    nothing = {"left": "crm_id:ada", "right": "crm_id:silent"}
    assert server.get("/v1/identity/explain.svg", params=nothing, headers=header).status_code == 404
    person = server.get("/v1/profiles/crm_id:ada/explain", headers=french)
    assert person.json()["holding"]["text"][0].startswith("2 identifiants tiennent ensemble")
    links = [link["text"] for link in person.json()["data"]]
    assert any(t.startswith("crm_id:ada et crm_id:twice ont été rapprochés") for t in links)
    [merge] = server.get("/v1/profiles/crm_id:ada/merges", headers=header).json()["data"]
    assert merge["text"][0].startswith("Two people became one on ")
    assert "For it, the most telling first: Phone, Birth date, " in merge["text"][1]
    assert "lovelace" not in str(merge)
    listed = server.get("/v1/identity/merges", headers=french)
    assert listed.headers["content-language"] == "fr"
    assert listed.json()["data"][0]["text"][0].startswith("Deux personnes sont devenues une le ")
    absent = {**asked, "right": "crm_id:nobody"}
    assert server.get("/v1/identity/explain", params=absent, headers=header).status_code == 404
