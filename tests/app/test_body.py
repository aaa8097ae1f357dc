"""A body becomes text that PostgreSQL and every reader can hold, and stays as it is where it is."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from app.errors import BodyUnreadable
from app.events import extremes
from app.events.body import Body, members_of, parse, storable, to_message, values_of
from app.events.envelope import MOST_LEVELS
from app.events.message import whole


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (rb'{"a": "x\u0000y"}', {"a": "xy"}),
        (rb'{"a\u0000": [{"b": "\u0000"}]}', {"a": [{"b": ""}]}),
        (rb'{"a": "\\u0000"}', {"a": r"\u0000"}),
        (rb'{"a": "x\ud800y"}', {"a": "x\ufffdy"}),
        (rb'{"\udc00": 1}', {"\ufffd": 1}),
        (rb'{"a": "\uD800"}', {"a": "\ufffd"}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": NaN, "b": [Infinity, -Infinity, 1e999]}', {"a": None, "b": [None, None, None]}),
        (b'{"a": 1E+400, "b": [-1.5e400 ,2e-400\t]}', {"a": None, "b": [None, 0.0]}),
        (b'{"a": ' + b"9" * 400 + b".5}", {"a": None}),
        (
            b'{"a": 1' + b"0" * 250 + b'e99, "b": -1' + b"0" * 230 + b".5E+99}",
            {"a": None, "b": None},
        ),
        (b'{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}),
        (b'{"a": 12345678901234567890123}', {"a": 12345678901234567890123}),
        (b'{"a": ' + b"9" * 4000 + b"}", {"a": int("9" * 4000)}),
        (b'{\r\n "a": [\n1]\n}\n', {"a": [1]}),
    ],
)
def test_what_the_database_cannot_hold_is_made_holdable(body: bytes, parsed: Any) -> None:
    made = storable(body)
    assert json.loads(made) == parsed
    assert storable(made) == made or b"999" in made
    assert json.loads(bytes(only(b'{"batch": [' + body + b"]}"))) == parsed


def only(body: bytes) -> Raw:
    [message] = parse(body, None).messages or []
    return message


@pytest.mark.parametrize(
    "text",
    [b'{"a":"caf\xc3\xa9 \\u00e9 \\n \xf0\x9f\x98\x80"}', b'{"id":"1e400, 1e5000","b":[1.5e30]}',
     b'{"uuid":"9e123456-0e00-4e99-8e12-1e0009e99999"}', b'{ "a" : 1e99 , "b" : 0.1e-99}'],
)  # fmt: skip
def test_what_can_be_held_says_the_same_as_it_came(text: bytes) -> None:
    assert json.loads(storable(text)) == json.loads(text)
    if b"1e400," not in text:  # within a text: written anew for nothing
        assert storable(text) == text


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'"text"', b"{", b"{'a': 1}", b'{"a": "\x00"}', b'{"a": "\xff"}', b"a=1",
     b'{"a":' * 5000 + b"1" + b"}" * 4999, b'{"a":' + b"9" * 5000, b'{"a": "\xed\xa0\x80"}',
     b'{"a":' * 60_000 + b"1" + b"}" * 60_000],
)  # fmt: skip
@pytest.mark.parametrize("call", [None, "track"])
def test_what_is_not_a_json_object_is_refused_and_says_so(body: bytes, call: str | None) -> None:
    with pytest.raises(BodyUnreadable):
        parse(body, call)


@pytest.mark.parametrize("odd", [b"NaN", b'"\\u0000"', b'"\\ud800"', b"1"])
@pytest.mark.parametrize("levels", [300, 900, 5_000])
def test_of_what_is_nested_too_deeply_so_much_stays_that_its_event_is_refused(
    odd: bytes, levels: int
) -> None:
    deep = b'{"a":' + b"[" * levels + odd + b"]" * levels + b',"messageId":"]}"}'
    found = parse(b'{"batch":[%b,{"b":"\\"[["}]}' % deep, None)
    one, two = found.messages or []
    assert MOST_LEVELS < bytes(one).count(b"[") <= levels
    assert values_of(one)["messageId"] == "]}"
    assert values_of(two) == {"b": '"[['}


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=9),
       st.booleans())  # fmt: skip
def test_nothing_is_cut_of_what_can_be_followed(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "replace")
    assert extremes.cut(text) == text


@pytest.mark.parametrize(
    ("text", "long"),
    [(b"%b", True), (b"-%b", True), (b"[%b]", True), (b'{"%b": 1}', False), (b'"\\"%b"', False),
     (b'{"a": "x", "b": %b}', True), (b'{"a": "\\\\", "b": %b}', True)],
)  # fmt: skip
def test_a_number_has_too_many_digits_only_where_it_is_one(text: bytes, long: bool) -> None:
    assert extremes.has_long_number(text % (b"9" * 4_301)) is long
    assert not extremes.has_long_number(text % (b"9" * 4_300))


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_at_all_are_a_body_or_refused(body: bytes) -> None:
    for call in (None, "track"):
        try:
            found = parse(body, call)
        except BodyUnreadable:
            continue
        assert isinstance(found, Body)
        for message in found.messages or []:
            values_of(message)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.text(max_size=4), values, max_size=4), st.booleans(), st.booleans())
def test_whatever_is_sent_is_stored_without_what_cannot_be(
    message: dict[str, Any], escaped: bool, pretty: bool
) -> None:
    text = json.dumps(message, ensure_ascii=escaped, indent=2 if pretty else None)
    made = storable(text.encode("utf-8", "surrogatepass" if escaped else "replace"))
    assert b"\n" not in made
    read = json.loads(made, parse_constant=lambda name: pytest.fail(name))
    assert "\x00" not in json.dumps(read, ensure_ascii=False)
    json.dumps(read, ensure_ascii=False).encode()  # no half of a character
    if not escaped:
        text = text.encode("utf-8", "replace").decode()
    expected = json.loads(text)
    if holdable(expected):
        assert read == expected


def holdable(value: Any) -> bool:
    """Say whether nothing is in it that must be taken out."""
    if isinstance(value, str):
        return "\x00" not in value and not any(0xD800 <= ord(c) < 0xE000 for c in value)
    if isinstance(value, dict):
        return all(holdable(k) and holdable(v) for k, v in value.items())
    if isinstance(value, list):
        return all(holdable(v) for v in value)
    return not isinstance(value, float) or math.isfinite(value)


def test_what_stands_at_the_top_of_a_batch_holds_for_each_that_does_not_say_otherwise() -> None:
    batch = [{"type": "track"}, {"sentAt": "own", "context": {"ip": "1"}}, 3]
    top = {"batch": batch, "sentAt": "top", "context": {"ip": "0", "app": "x"}, "writeKey": "k"}
    found = parse(json.dumps(top).encode(), None)
    assert found.write_key == "k"
    assert bytes(found.sent_at) == b'"top"'
    one, two, three = (values_of(found.completed(message)) for message in found.messages or [])
    assert one == {"type": "track", "context": {"ip": "0", "app": "x"}}
    assert two == {"sentAt": "own", "context": {"ip": "1", "app": "x"}}
    assert three == 3


def test_what_a_body_becomes_is_known_before_it_does() -> None:
    shared = {"context": {"a": "x" * 10_000}, "integrations": {"All": True}}
    messages: list[dict[str, Any]] = [{}] * 500
    found = parse(json.dumps({"batch": messages, **shared}).encode(), None)
    made = sum(len(found.completed(message)) for message in found.messages or [])
    assert made - 50 * 500 < found.size <= made


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([1, 9, 100, 150, 199, 200, 201, 250, 299, 300, 309, 310, 400]),
    st.sampled_from(["", ".5", "." + "9" * 250]),
    st.sampled_from(
        ["", "e9", "E99", "e+99", "e-99", "e100", "e308", "e-400", "e0099", "e00000001"]
    ),
    st.sampled_from(["", "-"]),
)
def test_a_number_of_whatever_length_is_read_by_all_or_null(
    digits: int, fraction: str, exponent: str, sign: str
) -> None:
    made = storable(f'{{"a": {sign}1{"0" * (digits - 1)}{fraction}{exponent}}}'.encode())
    assert set(values_of(made)) == set(json.loads(made)) == {"a"}
    assert values_of(made) == json.loads(made)


def test_a_message_begins_where_it_begins_whatever_stands_around_it() -> None:
    for body in (b' \t{"type": "page"}', b'\r\n{"type": "page"} \n', b'{"type": "page"}'):
        [message] = parse(body, "page").messages or []
        assert bytes(message) == bytes(Raw(storable(body))) == b'{"type": "page"}'
    assert [bytes(m) for m in parse(b' {"batch" : [ {"a": 1} , 2 ]}', None).messages or []] == [
        b'{"a": 1}', b"2"
    ]  # fmt: skip


def test_the_time_of_sending_of_a_batch_stands_beside_its_messages() -> None:
    found = parse(b'{"batch": [{"type": "page"}, {"sentAt": "own"}], "sentAt": "top"}', None)
    one, two = found.messages or []
    assert bytes(found.sent_at) == b'"top"'
    assert values_of(whole(one, None, found.sent_at)) == {"type": "page", "sentAt": "top"}
    assert values_of(whole(two, "track", found.sent_at)) == {"sentAt": "own", "type": "track"}


@pytest.mark.parametrize("batch", ["null", "{}", '"x"', "1"])
def test_a_batch_that_is_no_list_still_says_whose_it_is(batch: str) -> None:
    assert parse(f'{{"batch": {batch}, "writeKey": "k"}}'.encode(), None) == Body(None, "k")
    assert parse(b'{"writeKey": ["k"]}', None) == Body(None, None)


def test_what_would_take_many_times_its_size_is_asked_about_before() -> None:
    asked: list[bytes] = []
    parse(b'{"batch": [{"a": 1}]}', None, asked.append)
    assert not asked
    parse(b'{"batch": [{"a": NaN}]}', None, asked.append)
    assert len(asked) == 1


def test_a_value_of_this_program_becomes_a_message() -> None:
    assert values_of(to_message({"a": "\ud800\x00", "b": math.inf})) == {"a": "\ufffd", "b": None}
    assert members_of(to_message("line")) is None


YES, NO = b'{"categoryPreferences":{"ads":true}}', b'{"categoryPreferences":{"ads":false}}'
TWICE = (
    b'{"type":"track","context":{"consent":%b},"context":{"consent":%b}}' % (NO, YES),
    b'{"type":"track","context":{"consent":%b,"consent":%b}}' % (NO, YES),
    b'{"type":"track","context":{"consent":%b,"cons\\u0065nt":%b}}' % (NO, YES),
    b'{"type":"track","context":{"consent":%b},"cont\\u0065xt":{"a":1}}' % NO,
    b'{"type":"track","context":{"gpc":true,"gpc":false}}',
    b'{"type":"track","context":{"gpp":"a","b":1,"gpp":"c"}}',
    b'{"type":"track","context":{"us_privacy":"1YYN","us_privacy":"1---"}}',
    b'{"type":"track","context":{"consentManagement":{},"consentManagement":{}}}',
    b'{"type":"track","context":{"consent":%b},"context":null}' % NO,
)


@pytest.mark.parametrize("message", TWICE)
@pytest.mark.parametrize("form", [b"%b", b'{"batch":[{"a":1},%b]}', b'{"batch":[\n%b]}',
                                  b'{"context":{"x":1},"batch":[%b]}', b' { "batch":[%b,NaN]}',
                                  b'{"batch":[%b],"sentAt":"\\u0000"}'])  # fmt: skip
def test_of_a_consent_that_is_said_twice_the_last_is_not_the_answer(
    message: bytes, form: bytes
) -> None:
    call = "track" if form == b"%b" else None
    read = parse(form % message, call)
    found = [
        json.loads(bytes(read.completed(one)))
        for one in read.messages or ()
        if b"track" in bytes(one)
    ]
    said = {name for name, value in found[0]["context"].items() if value == ["said twice"]}
    assert said, found
    assert storable(message) == storable(storable(message))


def test_a_context_that_a_batch_says_twice_is_no_answer_for_its_messages() -> None:
    body = b'{"context":{"consent":%b},"batch":[{"a":1}],"context":{"consent":%b}}' % (NO, YES)
    read = parse(body, None)
    [found] = [json.loads(bytes(read.completed(one))) for one in read.messages or ()]
    assert found["context"]["consent"] == ["said twice"]


@pytest.mark.parametrize("message", [
    b'{"context":{"consent":%b},"properties":{"context":"x","consent":1}}' % YES,
    b'{"context":{"consent":%b,"page":{"context":2}},"event":"\\u0063onsent"}' % YES,
    b'{"properties":{"gpc":1,"a":{"gpc":2}},"context":{"gpc":true}}',
])  # fmt: skip
def test_what_is_said_once_stays_as_it_came(message: bytes) -> None:
    assert only(b'{"batch":[%b]}' % message) == Raw(message)
