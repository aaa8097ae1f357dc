"""What the suppression list costs those who write, and how it hears of changes."""

import hmac
from collections.abc import Callable
from time import process_time
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.db import Sessions
from app.errors import SuppressionKeyUnusable
from app.settings import Settings
from app.suppression import gate, mentions
from app.suppression.key import NORMALISER, RefKey, RefKeys
from consent import suppression
from consent.suppression import Entry
from identity.identifiers import normalise

Measure = Callable[[str, object], None]
EVENTS = 20_000


def test_the_canonical_form_that_is_hashed_has_not_changed_unnoticed() -> None:
    """Raise NORMALISER when one of these changes: what is on the list is not found any more."""
    assert NORMALISER == 2
    assert {
        (name, value): normalise(name, value)
        for name, value in (
            ("email", " Ada.Lovelace+shop@Googlemail.COM "),
            ("email", "Ada.Lovelace+shop@Example.org"),
            ("email", "A\u0308da <mailto:a\u0308da@b\u00fccher.de>"),
            ("phone", "+33 (1) 42 68 53 00"),
            ("user_id", " U-42 "),
        )
    } == {
        ("email", " Ada.Lovelace+shop@Googlemail.COM "): "adalovelace@gmail.com",
        ("email", "Ada.Lovelace+shop@Example.org"): "ada.lovelace@example.org",
        ("email", "A\u0308da <mailto:a\u0308da@b\u00fccher.de>"): "\u00e4da@xn--bcher-kva.de",
        ("phone", "+33 (1) 42 68 53 00"): "+33142685300",
        ("user_id", " U-42 "): "U-42",
    }


def test_a_hash_is_an_hmac_and_tells_namespaces_apart() -> None:
    key = RefKey(bytes(range(32)))
    derived = HKDF(
        algorithm=SHA256(), length=32, salt=None, info=b"parcours suppression 1: subject"
    ).derive(bytes(range(32)))
    for name, value in (("email", "ada@example.org"), ("user_id", "é\U0001f600"), ("a", "")):
        text = f"{name}\0{value}".encode()
        assert key.ref(name, value) == hmac.digest(derived, text, "sha256")
    assert key.ref("a", "b") != key.ref("ab", "")
    assert key.ref("a", "b") != RefKey(bytes(range(1, 33))).ref("a", "b")


def entries(keys: RefKeys, number: int) -> list[Entry]:
    key = keys.newest
    return [Entry(key.ref("user_id", f"gone-{n}"), key.id, "user_id") for n in range(number)]


def test_a_look_costs_nothing_while_the_list_is_empty_and_microseconds_then(
    sessions: Sessions, settings: Settings, record_property: Measure
) -> None:
    gate.use(settings)
    known = gate.Gate()
    with sessions.begin() as session:
        known.refresh(session)
    names = [(("user_id", f"u-{n}"), ("anonymous_id", f"a-{n}")) for n in range(EVENTS)]

    def cost() -> float:
        began = process_time()
        for name in names:
            if not known.empty:
                known.refuses(name)
        return (process_time() - began) / EVENTS * 1e6

    empty = min(cost() for _ in range(5))
    with sessions.begin() as session:
        new = entries(gate.keys_or_new(), 10_000)
        suppression.suppress(session, new, normaliser=NORMALISER, reason_ref="test")
    with sessions.begin() as session:
        assert known.refresh(session)
        assert not known.refresh(session)
    full = min(cost() for _ in range(5))
    record_property("µs per event, empty list", round(empty, 3))
    record_property("µs per event of two new identifiers, 10,000 on the list", round(full, 2))
    assert empty < 1
    assert full < 20
    assert known.refuses([("user_id", "gone-7")])
    assert not known.refuses([("anonymous_id", "gone-7")])


def test_a_list_made_with_another_key_refuses_everything(
    sessions: Sessions, settings: Settings
) -> None:
    gate.use(settings)
    gate.keys_or_new()
    with sessions.begin() as session:
        new = entries(RefKeys([bytes(range(32))]), 1)
        suppression.suppress(session, new, normaliser=NORMALISER, reason_ref="test")
    for _ in range(2):
        with sessions.begin() as session, pytest.raises(SuppressionKeyUnusable):
            gate.Gate().refresh(session)


def test_who_reads_the_list_while_it_changes_waits_and_sees_the_change(
    sessions: Sessions, settings: Settings
) -> None:
    gate.use(settings)
    keys = gate.keys_or_new()
    reader = gate.Gate()
    with sessions.begin() as session:
        reader.refresh(session)
    for n in range(20):
        with sessions.begin() as session:
            name = f"gone-{n}"
            key = keys.newest
            entry = Entry(key.ref("user_id", name), key.id, "user_id")
            suppression.suppress(session, [entry], normaliser=NORMALISER, reason_ref="test")
        with sessions.begin() as session:
            assert reader.refresh(session)
            assert reader.refuses([("user_id", name)])


def test_anything_in_a_text_may_be_an_identifier() -> None:
    for text in (
        '{"a": {"b": ["x", {"Ada.Lovelace+z@gmail.com": 1}]}}',
        "not json: userId=ada.lovelace@gmail.com&x=1",
        '"ada.lovelace@gmail.com"',
        '{"broken": "ada.lovelace@gmail.com"',
    ):
        found = set(mentions.named(text, ["email"]))
        assert ("email", "adalovelace@gmail.com") in found, text
    assert ("user_id", "4711") in set(mentions.named('{"userId": 4711}', ["user_id"]))
    deep = "[" * 100_000 + f'"{uuid4()}"'
    assert list(mentions.named(deep, ["user_id"]))
