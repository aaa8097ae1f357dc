"""Reads the body of a tracking request into its messages, which stay the JSON text that they are.

Nothing is built of what is only stored: parsing properties and context and writing them again took
12 of the 17 µs in which an event is read.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from app.errors import BodyUnreadable
from app.events import extremes, twice

#: A value that is absent.
NONE = Raw(b"")
NULL = b"null"
#: What may stand around a JSON text (RFC 8259 §2).
_BLANKS = b" \t\r\n"
#: NUL and halves of characters beyond the first plane, which PostgreSQL cannot hold alone.
_ESCAPES = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
#: Every digit becomes 0, every e small and what ends a number a comma, so that numbers no double
#: can hold are found by searching for few fixed strings.
_SHAPES = bytes(
    ord("0" if c in "0123456789" else "e" if c in "eE" else "," if c in ",}] \t" else c)
    for c in map(chr, range(256))
)
_EXPONENT = re.compile(rb"0e[+-]?000+,")
#: With an exponent of two digits so many stay below a double's 10^308.
_DIGITS = b"0" * 200
_SAMPLED = len(_DIGITS) // 2


class _Batch(msgspec.Struct):
    """The top of a request; `batch` as it should be."""

    batch: list[Raw]
    writeKey: Raw = NONE
    sentAt: Raw = NONE
    integrations: Raw = NONE
    context: Raw = NONE


class _Top(msgspec.Struct):
    """The top of a request of whatever form."""

    writeKey: Raw = NONE


_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_top = msgspec.json.Decoder(_Top).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


class Body(msgspec.Struct, frozen=True):
    """What one request brought: its messages, and what stands beside them for all of them.

    `messages` is None when `batch` is no list. `shared` are the batch's `context` and
    `integrations`, which hold for each message that does not say otherwise: `completed` writes
    them into one.
    """

    messages: list[Raw] | None
    write_key: str | None
    sent_at: Raw = NONE
    shared: dict[str, Raw] = {}

    @property
    def size(self) -> int:
        """How many bytes the messages become with what is shared written into each."""
        shared = sum(len(value) for value in self.shared.values())
        messages = self.messages or ()
        return sum(map(len, messages)) + shared * len(messages)

    def completed(self, message: Raw) -> Raw:
        """Return a message with what its batch says and it does not say itself."""
        return _with_shared(message, self.shared) if self.shared else message


def parse(
    body: bytes, call: str | None, on_values: Callable[[bytes], None] = lambda body: None
) -> Body:
    """Read a request: a batch, or the one message that a call of this kind is.

    The text of its messages is as `storable` returns it. Raises BodyUnreadable when it is not a
    JSON object.
    """
    body = body.strip(_BLANKS)
    if _odd(body):
        body = _anew(body, on_values)
    try:
        return _read(body, call)
    except (msgspec.DecodeError, RecursionError):
        return _read(_anew(body, on_values), call)


def storable(text: bytes, on_values: Callable[[bytes], None] = lambda body: None) -> bytes:
    """Return JSON text that PostgreSQL and every reader of it can hold, in one line.

    Nearly always that is what came. Else it is parsed and written anew (before which `on_values`
    may refuse, because that takes many times its size): NUL characters are removed, lone
    surrogates become U+FFFD, NaN, infinities and numbers beyond a double null: official SDKs send
    all of these (research/sdk-contract.md rules 8, 15). What nobody can read stays so far that its
    event is refused for it (`extremes`). Of duplicate keys the last counts, here or
    where it is read, but for those that speak of consent (`twice`). Raises BodyUnreadable when it
    is not JSON.
    """
    text = text.strip(_BLANKS)
    if not _odd(text):
        try:
            msgspec.json.decode(text, type=Raw)
            return bytes(twice.marked(Raw(text)))
        except (msgspec.DecodeError, RecursionError):
            pass
    return _anew(text, on_values)


def _read(body: bytes, call: str | None) -> Body:
    try:
        if call is not None:
            return Body([twice.marked(Raw(body))], _text(_decode_top(body).writeKey))
        batch = _decode_batch(body)
    except msgspec.ValidationError:
        return Body(None, _key_of(body))
    both = {"integrations": batch.integrations, "context": batch.context}
    shared = {name: value for name, value in both.items() if bytes(value) not in (b"", NULL)}
    if "context" in shared:  # it holds for every message
        whole = members_of(twice.marked(Raw(body))) or {}
        shared["context"] = whole.get("context", batch.context)
    messages = [twice.marked(message) for message in batch.batch]
    return Body(messages, _text(batch.writeKey), batch.sentAt, shared)


def to_message(value: object) -> Raw:
    """Return a message made in this program as one that was sent; raises BodyUnreadable."""
    try:
        return Raw(storable(_encode(value)))
    except UnicodeEncodeError:  # half a character
        return Raw(storable(json.dumps(value).encode()))


def compact(text: Raw, largest: int) -> Raw:
    """Return a text without blanks and escapes where it may come below a size by that.

    A letter may be written as an escape of six characters: what is larger than six times the size
    stays as it is, so that nothing much is built of it; so does what cannot be built.
    """
    if not largest < len(text) <= 6 * largest:
        return text
    try:
        return Raw(_encode(values_of(text)))
    except (msgspec.DecodeError, RecursionError):
        return text


def values_of(text: bytes | Raw) -> Any:
    """Return the value that a JSON text is; whole numbers of any length stay as they are."""
    return msgspec.json.decode(text)


def members_of(text: bytes | Raw) -> dict[str, Raw] | None:
    """Return the members of an object, each as it was written; None when it is no object."""
    try:
        return _decode_members(text)
    except msgspec.ValidationError:
        return None


def with_members(message: Raw, others: Mapping[str, Any]) -> Raw:
    """Return an object with these members in the place of those it has, or beside them."""
    return Raw(_encode({**(members_of(message) or {}), **others}))


def _odd(body: bytes) -> bool:
    """Say whether anything is in valid JSON that cannot be stored as it is.

    In 2 µs for 1,000 bytes; where it errs, the text is only written anew for nothing.
    """
    # A search for one byte takes a 20th of one for two.
    if b"\\" in body and b"\\u" in body and _ESCAPES.search(body):
        return True
    if b"\n" in body or b"\r" in body:  # a row of COPY is one line
        return True
    if not body.isascii() and not _is_utf8(body):
        return True
    shapes = body.translate(_SHAPES)
    if _EXPONENT.search(shapes):
        return True
    # So many digits in a row are under two of these samples that stand side by side.
    return b"00" in shapes[::_SAMPLED] and _DIGITS in shapes


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _anew(body: bytes, on_values: Callable[[bytes], None]) -> bytes:
    """Parse what may not quite be JSON, and write it so that it can be stored."""
    on_values(body)
    try:
        return _encode(clean(_parsed(body)))
    except RecursionError:
        body = extremes.cut(body)
    try:
        return _encode(clean(_parsed(body)))
    except RecursionError as error:
        raise BodyUnreadable("the body is nested too deeply") from error


def _parsed(body: bytes) -> Any:
    if not twice.may(body):
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    try:
        return json.loads(
            body.decode(), object_pairs_hook=twice.once, parse_int=extremes.whole_number
        )
    except UnicodeDecodeError as error:
        raise BodyUnreadable("the body is not UTF-8") from error
    except ValueError as error:
        raise BodyUnreadable(f"the body is not JSON: {str(error)[:200]}") from error


def clean(value: Any) -> Any:
    """Return a value without what PostgreSQL cannot hold."""
    if isinstance(value, str):
        return (
            value.replace("\x00", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [clean(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _key_of(body: bytes) -> str | None:
    """Return the write key of what is no batch; raises BodyUnreadable when it is no object."""
    try:
        return _text(_decode_top(body).writeKey)
    except msgspec.ValidationError as error:
        raise BodyUnreadable("the body must be a JSON object") from error


def _text(value: Raw) -> str | None:
    """Return the text that a value is, or None; of anything else nothing is built."""
    return str(values_of(value)) if bytes(value)[:1] == b'"' else None


def _with_shared(message: Raw, shared: Mapping[str, Raw]) -> Raw:
    own = members_of(message)
    if own is None:
        return message
    others = {k: v for k, v in shared.items() if bytes(own.get(k, NONE)) in (b"", NULL)}
    context = members_of(shared.get("context", Raw(NULL)))
    if context is not None:
        its = members_of(own.get("context", Raw(NULL))) or {}
        said = {k: v for k, v in its.items() if bytes(v) != NULL}
        others["context"] = Raw(_encode({**its, **context, **said}))
    return with_members(message, others)
