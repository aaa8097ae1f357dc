"""Brevo: contacts by address, in a list for each segment.

developers.brevo.com, API v3: POST /contacts (`updateEnabled`), GET, PUT and DELETE
/contacts/{identifier} with `identifierType=email_id`. One contact a request, ten requests a
second; a limit that is reached says in `x-sib-ratelimit-reset` for how long.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field

from app.destinations.emptying import emptied
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
from app.destinations.wire import Answer, Call, Wire

#: Of a `duplicate_parameter`, that it is the address which another contact has, and not a number.
ADDRESS_TAKEN = re.compile(r"contact, email is already associated", re.IGNORECASE)


class BrevoSettings(Options):
    """Which lists the segments are, and what becomes of who leaves."""

    url: str = Field(default="https://api.brevo.com/v3", max_length=2048, pattern="^https?://")
    lists: dict[str, int] = Field(
        default_factory=dict, description="The id of the list of each segment, by its key."
    )
    on_leave: Literal["clear", "delete"] = Field(
        default="clear",
        description="Empty the mapped attributes of who is in no segment any more, or delete the "
        "contact. Who is erased is deleted in any case.",
    )
    blocklist: bool = Field(
        default=False,
        description="Put who withdraws on the blocklist for e-mail; taken off only for who agrees "
        "anew.",
    )


class BrevoSecrets(Options):
    """The account's key."""

    #: As it is in a header: what comes with a line break cannot be sent.
    api_key: str = Field(max_length=500, pattern=r"^[!-~]+$")


class Brevo(Kind):
    """Contacts in Brevo."""

    name = "brevo"
    about = "Contacts in Brevo, by e-mail address, and a list for each segment."
    settings = BrevoSettings
    secrets = BrevoSecrets
    by_address = True
    batch = 20
    rate = 10.0
    template: ClassVar[Mapping[str, Any]] = {
        "EMAIL": {"identifier": "email"},
        "FIRSTNAME": {"trait": "first_name"},
        "LASTNAME": {"trait": "last_name"},
    }

    def address(self, settings: Any) -> str:
        """Return where Brevo is."""
        return str(settings.url)

    def targets(self, settings: Any) -> Mapping[str, Target]:
        """Return the default attributes; others are the account's own."""
        return {
            "EMAIL": Target("email", required=True),
            "FIRSTNAME": Target(),
            "LASTNAME": Target(),
            "SMS": Target(about="A number with its country code."),
        }

    def check(self, settings: Any, segments: Sequence[str]) -> None:
        """Check that lists are of segments that are sent."""
        if unknown := sorted(settings.lists.keys() - set(segments)):
            raise ValueError(f"lists: {', '.join(unknown)} is no segment of this destination")

    def known_by(self, setup: Setup, record: Record) -> str | None:
        """Return the address."""
        return str(record.fields["EMAIL"])

    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return the bodies."""
        return [_call(setup, record).body for record in records]

    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Take back first; who is not there any more is made anew."""
        found: dict[str, Outcome] = {}
        for holding in (False, True):
            some = [record for record in records if (record.intent == "hold") is holding]
            found |= self._send(setup, some, wire)
            again = [
                replace(record, remote=None)
                for record in some
                if holding and record.remote and found[record.message_id].status == 404
            ]
            found |= self._send(setup, again, wire)
        return [found[record.message_id] for record in records]

    def _send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> dict[str, Outcome]:
        nothing = [r for r in records if r.intent != "hold" and not r.remote]
        found = {record.message_id: Outcome("taken", remote="") for record in nothing}
        records = [record for record in records if record.message_id not in found]
        blocked, unknown = _blocked(setup, records, wire)
        found |= unknown
        records = [record for record in records if record.message_id not in unknown]
        calls = [_call(setup, record) for record in records]
        for n, record in enumerate(records):
            if record.message_id in blocked:
                calls[n] = replace(calls[n], body={**calls[n].body, "emailBlacklisted": True})
        answers = wire.send_all(calls)
        found |= {
            record.message_id: _outcome(setup, record, answer)
            for record, answer in zip(records, answers, strict=True)
        }
        found |= _without_attributes(setup, records, found, wire)
        cleared = [r for r in records if r.intent == "release" and not _deletes(setup, r)]

        def send(record: Record) -> Outcome:
            return _outcome(setup, record, wire.send(_call(setup, record)))

        return found | emptied(cleared, found, "EMAIL", send)


def _blocked(
    setup: Setup, records: Sequence[Record], wire: Wire
) -> tuple[set[str], dict[str, Outcome]]:
    """Return who is on the blocklist and gets another address, by message: Brevo takes off whose
    address is updated, and they may have unsubscribed there. And of whom it could not be asked.
    """
    moving = [
        (record, replace(call, method="GET", body=None))
        for record in records
        if record.intent == "hold" and not record.agreed_again
        for call in [_call(setup, record)]
        if call.method == "PUT" and "EMAIL" in call.body["attributes"]
    ]
    blocked: set[str] = set()
    unknown: dict[str, Outcome] = {}
    for (record, _), answer in zip(moving, wire.send_all([c for _, c in moving]), strict=True):
        said = answer.json()
        if answer.ok and isinstance(said, dict):
            blocked |= {record.message_id} if said.get("emailBlacklisted") else set()
        elif answer.status != 404:  # then there is nobody to be taken off
            unknown[record.message_id] = _outcome(setup, record, answer)
    return blocked, unknown


def _without_attributes(
    setup: Setup, records: Sequence[Record], found: Mapping[str, Outcome], wire: Wire
) -> dict[str, Outcome]:
    """Take those off the lists, and opt those out, whose attributes could not be emptied.

    All the more must nobody write to them. That they could not is told still, or tried again.
    """
    refused = [
        record
        for record in records
        if record.intent == "release"
        and not _deletes(setup, record)
        and found[record.message_id].state == "refused"
    ]
    calls = []
    for record in refused:
        call = _call(setup, record)
        calls.append(replace(call, body={k: v for k, v in call.body.items() if k != "attributes"}))
    answers = wire.send_all(calls)
    again = {
        record.message_id: _outcome(setup, record, answer)
        for record, answer in zip(refused, answers, strict=True)
    }
    return {message: outcome for message, outcome in again.items() if outcome.state == "again"}


def _call(setup: Setup, record: Record) -> Call:
    """Return the request that says what a record wants."""
    headers = {"api-key": str(setup.secrets.api_key)}
    base = setup.url.rstrip("/") + "/contacts"
    there = f"{base}/{quote(record.remote or '', safe='')}?identifierType=email_id"
    if _deletes(setup, record):
        return Call("DELETE", there, None, headers)
    if record.intent == "hold" and record.remote is None:
        return Call("POST", base, _new(setup, record), headers)
    return Call("PUT", there, _changes(setup, record), headers)


def _deletes(setup: Setup, record: Record) -> bool:
    released = record.intent == "release" and setup.settings.on_leave == "delete"
    return record.intent == "forget" or released


def _new(setup: Setup, record: Record) -> dict[str, Any]:
    attributes = {k: v for k, v in _attributes(record).items() if k != "EMAIL" and v != ""}
    body = {"email": record.fields["EMAIL"], "attributes": attributes, "updateEnabled": True}
    if lists := _lists(setup, record)[0]:
        body["listIds"] = lists
    return body


def _changes(setup: Setup, record: Record) -> dict[str, Any]:
    attributes = _attributes(record)
    if attributes.get("EMAIL") in ("", record.remote):
        del attributes["EMAIL"]  # it stays what the contact is known by
    body: dict[str, Any] = {"attributes": attributes}
    inside, outside = _lists(setup, record)
    if inside:
        body["listIds"] = inside
    if outside:
        body["unlinkListIds"] = outside
    if setup.settings.blocklist and (record.withdrawn or record.agreed_again):
        body["emailBlacklisted"] = record.withdrawn
    return body


def _attributes(record: Record) -> dict[str, Any]:
    return {name: "" if value is None else value for name, value in record.fields.items()}


def _lists(setup: Setup, record: Record) -> tuple[list[int], list[int]]:
    """Return the lists that a contact is on, and those it is not."""
    lists: Mapping[str, int] = setup.settings.lists
    inside = sorted({number for key, number in lists.items() if key in record.segments})
    return inside, sorted(set(lists.values()) - set(inside))


def _outcome(setup: Setup, record: Record, answer: Answer) -> Outcome:
    said = answer.json()
    if answer.ok and answer.body and not isinstance(said, dict):
        return Outcome("again", UNREADABLE, answer.status)
    code = str(said.get("code", ""))[:100] if isinstance(said, dict) and not answer.ok else ""
    if answer.status == 404 and record.intent != "hold":
        return Outcome("taken", "there was no such contact any more", 404, remote="")
    reset = answer.headers.get("x-sib-ratelimit-reset", "")
    if answer.status == 429 and reset.isdecimal():
        answer = replace(answer, retry_after_seconds=min(float(reset), 86_400.0))
    email = record.fields.get("EMAIL") or record.remote
    found = by_status(answer, remote="" if _deletes(setup, record) else email, said=code)
    if code == "duplicate_parameter" and record.intent == "hold" and record.remote:
        return replace(found, another=bool(ADDRESS_TAKEN.search(str(said.get("message")))))
    return found
