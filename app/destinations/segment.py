"""Any endpoint that speaks Segment's HTTP Tracking API: `/v1/batch` with a write key.

Who enters is identified with a boolean trait of the segment's key and tracked as `Audience
Entered`, who leaves likewise with `false` and `Audience Exited`, as Twilio Engage sends audiences
to its destinations (segment.com/docs/engage/audiences, connections/spec/identify and /track).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID, uuid5

from pydantic import Field

from app.destinations.kind import (
    UNREADABLE,
    Kind,
    Options,
    Outcome,
    Record,
    Setup,
    Target,
    by_status,
)
from app.destinations.wire import Answer, Call, Wire, basic

ENTERED, EXITED = "Audience Entered", "Audience Exited"
#: The API takes at most 500 KB a request and 32 KB a call: so many records fit in any case.
MOST = 20
#: What is answered to all of a batch for one call in it.
TOO_LARGE = frozenset({400, 413})


class SegmentSettings(Options):
    """Where the calls go and by what people are named in them."""

    url: str = Field(
        default="https://api.segment.io/v1/batch",
        max_length=2048,
        pattern="^https?://",
        description="The endpoint that takes batches, whole.",
    )
    send: Literal["identify_and_track", "identify", "track"] = Field(
        default="identify_and_track", description="Which calls a change of membership makes."
    )
    user_id: str = Field(
        default="user_id",
        max_length=100,
        description="The namespace that is `userId`; `profile_id` for the profile's id. Of whom "
        "has none, the profile's id is the `anonymousId`.",
    )
    identifiers: bool = Field(
        default=True, description="Put the identifiers that may be used in `context.externalIds`."
    )


class SegmentSecrets(Options):
    """What the endpoint knows us by."""

    write_key: str = Field(min_length=1, max_length=500)


class Segment(Kind):
    """Identify and track calls to a Segment-compatible endpoint."""

    name = "segment"
    about = "Identify and track calls (Audience Entered, Audience Exited) for a Segment endpoint."
    settings = SegmentSettings
    secrets = SegmentSecrets
    batch = MOST

    def address(self, settings: Any) -> str:
        """Return the endpoint."""
        return str(settings.url)

    def targets(self, settings: Any) -> Mapping[str, Target]:
        """Return traits that the Identify spec reserves; others may be mapped as well."""
        return RESERVED

    def known_by(self, setup: Setup, record: Record) -> str | None:
        """Return the id that the calls are under."""
        return _who(setup, record)

    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return the calls of each person."""
        return [_calls(setup, record) for record in records]

    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Send one batch; ids of calls come of the message's, so that duplicates are known.

        The API answers for a batch as a whole, and takes nothing of one in which a call is too
        large: then each half is sent alone, and so on. An endpoint that says which calls it did not
        take (`rejected`, as our own does) is believed.
        """
        calls = [_calls(setup, record) for record in records]
        emptied = [
            [_emptied(setup, record)] if _is_anothers(setup, record) else [] for record in records
        ]
        # First: whose name it is may be in the same batch.
        whole = _post(setup, [call for some in (*emptied, *calls) for call in some], wire)
        if whole.status in TOO_LARGE and len(records) > 1:
            before, after = (_halves(setup, some, wire) for some in (emptied, calls))
            answers = [b if not b.ok else a for b, a in zip(before, after, strict=True)]
        else:
            answers = [whole] * len(records)
        return [
            _outcome(answer, _rejected(answer, [*before, *some]), _who(setup, record))
            for answer, record, before, some in zip(answers, records, emptied, calls, strict=True)
        ]


def _post(setup: Setup, batch: Sequence[Any], wire: Wire) -> Answer:
    header = basic(setup.secrets.write_key, "")
    return wire.send(Call("POST", setup.url, {"batch": list(batch)}, header))


def _halves(setup: Setup, parts: Sequence[Sequence[Any]], wire: Wire) -> list[Answer]:
    """Send the calls of each record, as many together as are taken, and in their order."""
    middle = len(parts) // 2
    return [one for half in (parts[:middle], parts[middle:]) for one in _half(setup, half, wire)]


def _half(setup: Setup, parts: Sequence[Sequence[Any]], wire: Wire) -> list[Answer]:
    batch = [call for some in parts for call in some]
    answer = _post(setup, batch, wire) if batch else Answer(200)
    if answer.status in TOO_LARGE and len(parts) > 1:
        return _halves(setup, parts, wire)
    return [answer] * len(parts)


#: connections/spec/identify, traits.
RESERVED: dict[str, Target] = {
    **dict.fromkeys(
        ("email", "firstName", "lastName", "name", "phone", "title", "username", "gender"),
        Target(),
    ),
    "age": Target("integer"),
    "birthday": Target("date"),
    "createdAt": Target("datetime"),
}


def _calls(setup: Setup, record: Record) -> list[dict[str, Any]]:
    """Return the calls that say what a record wants."""
    found, settings = [], setup.settings
    changed = record.segment is not None
    if settings.send != "track" or not changed:
        traits = {**record.fields, **_membership(setup, record)}
        found.append(_call(setup, record, "identify", {"traits": traits}))
    if settings.send != "identify" and changed:
        event = ENTERED if record.type == "segment.entered" else EXITED
        properties = {"audience_key": record.segment, record.segment: event == ENTERED}
        found.append(_call(setup, record, "track", {"event": event, "properties": properties}))
    return found


def _membership(setup: Setup, record: Record) -> dict[str, bool]:
    """Return the boolean trait of the segment that changed, or of all where none did."""
    keys = [record.segment] if record.segment is not None else setup.segments
    return {key: key in record.segments for key in keys}


def _call(setup: Setup, record: Record, kind: str, more: Mapping[str, Any]) -> dict[str, Any]:
    name, value = _named(setup, record)
    context: dict[str, Any] = {
        "library": {"name": "parcours", "version": "1"},
        "personas": {
            "computation_class": "audience",
            "computation_key": record.segment,
            "namespace": "users",
            "space_id": setup.name,
        },
    }
    if setup.settings.identifiers and record.identifiers:
        context["externalIds"] = [
            {"id": one, "type": namespace, "collection": "users", "encoding": "none"}
            for namespace, values in record.identifiers.items()
            for one in values
        ]
    return {
        "type": kind,
        name: value,
        "messageId": str(uuid5(UUID(record.message_id), kind)),
        "timestamp": record.occurred_at.isoformat(timespec="milliseconds"),
        "context": context,
        **more,
    }


def _is_anothers(setup: Setup, record: Record) -> bool:
    """Say whether a person is there under a name that is not theirs any more.

    As that of one from whom they were parted, who may not even be in a segment.
    """
    if record.intent != "hold" or not (record.remote or "").startswith("userId:"):
        return False
    known = record.identifiers.get(setup.settings.user_id, ())
    return record.remote not in {f"userId:{record.profile_id}", *(f"userId:{k}" for k in known)}


def _emptied(setup: Setup, record: Record) -> dict[str, Any]:
    """Return the call that leaves nothing under a name that is another's."""
    told = dict.fromkeys([*setup.formerly, *record.fields])
    traits = {**told, **dict.fromkeys(setup.segments, False)}
    name, _, value = str(record.remote).partition(":")
    call = _call(setup, replace(record, segment=None, identifiers={}), "identify", {})
    made = str(uuid5(UUID(record.message_id), "emptied"))
    rest = {k: v for k, v in call.items() if k not in ("userId", "anonymousId")}
    return {**rest, name: value, "messageId": made, "traits": traits}


def _named(setup: Setup, record: Record) -> tuple[str, str]:
    """Return `userId` or `anonymousId` and its value: the one it was first sent under."""
    name, _, value = _who(setup, record).partition(":")
    return name, value


def _who(setup: Setup, record: Record) -> str:
    if record.remote and not _is_anothers(setup, record):
        return record.remote
    if setup.settings.user_id == "profile_id":
        return f"userId:{record.profile_id}"
    known = record.identifiers.get(setup.settings.user_id)
    return f"userId:{known[0]}" if known else f"anonymousId:{record.profile_id}"


def _rejected(answer: Answer, calls: Sequence[Mapping[str, Any]]) -> str | None:
    """Return why a call of this person was not taken, where the endpoint says so."""
    said = answer.json()
    listed = said.get("rejected") if isinstance(said, dict) else None
    if not isinstance(listed, list):
        return None
    mine = {call["messageId"] for call in calls}
    for one in listed:
        if isinstance(one, dict) and one.get("messageId", one.get("message_id")) in mine:
            return str(one.get("code", "rejected"))[:100]
    return None


def _outcome(answer: Answer, rejected: str | None, who: str) -> Outcome:
    if rejected is not None:
        return Outcome("refused", f"the endpoint did not take it: {rejected}", answer.status)
    if answer.status == 410:
        return Outcome("gone", "the endpoint answered 410 Gone", 410)
    if answer.ok and answer.body.lstrip().startswith(b"<"):  # a page, and no tracking API
        return Outcome("again", UNREADABLE, answer.status)
    return by_status(answer, remote=who)
