"""HubSpot: contacts, upserted by address and then known by HubSpot's own id.

developers.hubspot.com, CRM objects v3: contacts batch/upsert, batch/update, batch/archive, read by
address, gdpr-delete; communication preferences v4: unsubscribe-all. At most 100 records a request.
With an `objectWriteTraceId` for each record one that is wrong does not cost the others (207).
"""

import json
from collections.abc import Callable, Mapping, Sequence
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
from app.destinations.wire import Answer, Call, Wire, bearer

CONTACTS = "/crm/v3/objects/contacts"
NOT_THERE = frozenset({"OBJECT_NOT_FOUND", "NOT_FOUND"})


class HubSpotSettings(Options):
    """Where HubSpot is, and what becomes of who leaves."""

    url: str = Field(default="https://api.hubapi.com", max_length=2048, pattern="^https?://")
    on_leave: Literal["clear", "archive"] = Field(
        default="clear",
        description="Empty the mapped properties of who is in no segment any more, or archive the "
        "contact. Who is erased is deleted in any case.",
    )
    unsubscribe: bool = Field(
        default=False, description="Unsubscribe who withdrew from all e-mail, for good."
    )


class HubSpotSecrets(Options):
    """The token of a private app."""

    #: As it is in a header: what comes with a line break cannot be sent.
    access_token: str = Field(max_length=2000, pattern=r"^[!-~]+$")


class HubSpot(Kind):
    """Contacts in HubSpot."""

    name = "hubspot"
    about = "Contacts in HubSpot, by e-mail address."
    settings = HubSpotSettings
    secrets = HubSpotSecrets
    by_address = True
    rate = 10.0
    template: ClassVar[Mapping[str, Any]] = {
        "email": {"identifier": "email"},
        "firstname": {"trait": "first_name"},
        "lastname": {"trait": "last_name"},
    }

    def address(self, settings: Any) -> str:
        """Return where HubSpot is."""
        return str(settings.url)

    def targets(self, settings: Any) -> Mapping[str, Target]:
        """Return the default properties; others are custom ones."""
        return {
            "email": Target("email", required=True),
            "phone": Target(),
            "firstname": Target(),
            "lastname": Target(),
        }

    def known_by(self, setup: Setup, record: Record) -> str | None:
        """Return the address, until HubSpot has told its id."""
        return f" {record.fields['email']}"

    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return the inputs of the batch."""
        return [_input(record) for record in records]

    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Take back first, then update who is known, then upsert who is not."""
        sending = _Sending(setup, wire)
        found: dict[str, Outcome] = {}
        for intent in ("forget", "release", "hold"):
            some = [record for record in records if record.intent == intent]
            found |= getattr(sending, intent)(some)
        return [found[record.message_id] for record in records]


class _Sending:
    """One batch on its way."""

    def __init__(self, setup: Setup, wire: Wire) -> None:
        self._setup, self._wire = setup, wire
        self._headers = bearer(setup.secrets.access_token)

    def hold(self, records: Sequence[Record]) -> dict[str, Outcome]:
        known = [record for record in records if _id(record)]
        found = self._batch("update", known, _input)
        gone = {m for m, outcome in found.items() if outcome.state == "refused" and _gone(outcome)}
        new = [r for r in records if not _id(r) or r.message_id in gone]
        return found | self._batch("upsert", new, _upsert)

    def release(self, records: Sequence[Record]) -> dict[str, Outcome]:
        archive = self._setup.settings.on_leave == "archive"
        found = {r.message_id: Outcome("taken", remote="") for r in records if not r.remote}
        known, unknown = self._looked_up([record for record in records if record.remote])
        found |= unknown
        if archive:
            found |= self._archived(known)
        else:
            found |= self._cleared(known)
        if self._setup.settings.unsubscribe:
            found |= self._unsubscribed([r for r in records if r.withdrawn], found)
        if not archive:
            found |= emptied(known, found, "email", lambda r: self._cleared([r])[r.message_id])
        return found

    def _cleared(self, records: Sequence[Record]) -> dict[str, Outcome]:
        # HubSpot refuses an update of no property: of who has but an address nothing is emptied.
        found = {r.message_id: Outcome("taken") for r in records if r.fields.keys() <= {"email"}}
        some = [record for record in records if record.message_id not in found]
        cleared = self._batch("update", some, _input)
        return found | {m: _nothing_there(outcome) for m, outcome in cleared.items()}

    def _looked_up(self, records: Sequence[Record]) -> tuple[list[Record], dict[str, Outcome]]:
        """Find contacts by address whose id HubSpot has not told: the answer to the first upsert
        was lost, and it may have arrived. Return who is there, and the outcomes of the others.
        """
        asked = [record for record in records if not _id(record)]
        path = f"{CONTACTS}/{{}}?idProperty=email"
        answers = self._wire.send_all(
            [self._call(path.format(quote(_email(r), safe="")), None, "GET") for r in asked]
        )
        known, found = [record for record in records if _id(record)], {}
        for record, answer in zip(asked, answers, strict=True):
            said = answer.json()
            if answer.ok and isinstance(said, dict) and said.get("id"):
                known.append(replace(record, remote=f"{said['id']} {_email(record)}"))
            elif answer.ok:
                found[record.message_id] = Outcome("again", UNREADABLE)
            else:
                found[record.message_id] = _nothing_there(_outcome(answer))
        return known, found

    def forget(self, records: Sequence[Record]) -> dict[str, Outcome]:
        found = {r.message_id: Outcome("taken", remote="") for r in records if not r.remote}
        records = [record for record in records if record.remote]
        calls = [self._call(f"{CONTACTS}/gdpr-delete", _named(record)) for record in records]
        answers = self._wire.send_all(calls)
        return found | {
            record.message_id: _nothing_there(_outcome(answer))
            for record, answer in zip(records, answers, strict=True)
        }

    def _archived(self, records: Sequence[Record]) -> dict[str, Outcome]:
        if not records:
            return {}
        inputs = [{"id": _id(record)} for record in records]
        answer = self._wire.send(self._call(f"{CONTACTS}/batch/archive", {"inputs": inputs}))
        return {record.message_id: _nothing_there(_outcome(answer, "")) for record in records}

    def _unsubscribed(
        self, records: Sequence[Record], found: Mapping[str, Outcome]
    ) -> dict[str, Outcome]:
        """Unsubscribe those who withdrew; who could not be is tried again with the rest.

        Also those whose fields could not be emptied: all the more must nobody write to them.
        """
        taken = [r for r in records if r.remote and found[r.message_id].state != "again"]
        path = "/communication-preferences/v4/statuses/{}/unsubscribe-all?channel=EMAIL"
        calls = [self._call(path.format(quote(_email(r), safe="")), None) for r in taken]
        answers = self._wire.send_all(calls)
        return {
            record.message_id: _outcome(answer)
            for record, answer in zip(taken, answers, strict=True)
            if not answer.ok and answer.status not in (400, 404)  # unsubscribed before, unknown
        }

    def _batch(
        self, action: str, records: Sequence[Record], write: Callable[[Record], Any]
    ) -> dict[str, Outcome]:
        """Send records of one action; where all are refused for one, send each alone."""
        if not records:
            return {}
        answer = self._wire.send(self._action(action, [write(record) for record in records]))
        if answer.status in (400, 404, 409) and len(records) > 1:
            calls = [self._action(action, [write(record)]) for record in records]
            answers = self._wire.send_all(calls)
            return {
                record.message_id: _one(one, record)
                for record, one in zip(records, answers, strict=True)
            }
        return {record.message_id: _one(answer, record) for record in records}

    def _action(self, action: str, inputs: Sequence[Any]) -> Call:
        return self._call(f"{CONTACTS}/batch/{action}", {"inputs": list(inputs)})

    def _call(self, path: str, body: Any, method: str = "POST") -> Call:
        return Call(method, self._setup.url.rstrip("/") + path, body, self._headers)


def _id(record: Record) -> str:
    """Return HubSpot's id of a contact; empty where it has told none."""
    return (record.remote or "").partition(" ")[0]


def _email(record: Record) -> str:
    return (record.remote or "").partition(" ")[2]


def _named(record: Record) -> dict[str, str]:
    if _id(record):
        return {"objectId": _id(record)}
    return {"objectId": _email(record), "idProperty": "email"}


def _input(record: Record) -> dict[str, Any]:
    """Return the input of a batch for a contact that is known by its id."""
    properties = {name: _value(value) for name, value in record.fields.items()}
    if record.intent != "hold":
        properties.pop("email", None)  # what the contact is known by; archive where it must go too
    return {"id": _id(record), "properties": properties, "objectWriteTraceId": record.message_id}


def _upsert(record: Record) -> dict[str, Any]:
    return {**_input(record), "id": record.fields["email"], "idProperty": "email"}


def _value(value: Any) -> str:
    """Write a value as HubSpot reads properties: text, empty clears, lists by semicolons."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ";".join(value) if isinstance(value, list) else str(value)


def _one(answer: Answer, record: Record) -> Outcome:
    """Find what became of one record in the answer to a batch."""
    said = answer.json()
    if answer.ok and not isinstance(said, dict):
        return Outcome("again", UNREADABLE, answer.status)
    if not answer.ok:
        return _of_another(_outcome(answer), record)
    for error in said.get("errors", []):
        context = error.get("context") or {}
        mine = {record.message_id, _id(record)} - {""}
        listed = [*context.get("objectWriteTraceId", []), *context.get("ids", [])]
        if mine & {str(one) for one in listed}:
            refused = Outcome("refused", f"{answer.status}: {_why(error)}", answer.status)
            return _of_another(refused, record)
    for result in said.get("results", []):
        if result.get("objectWriteTraceId") == record.message_id or result.get("id") == _id(record):
            email = record.fields.get("email") or _email(record)
            return Outcome("taken", status=answer.status, remote=f"{result['id']} {email}")
    return Outcome("again", UNREADABLE, answer.status)


def _of_another(outcome: Outcome, record: Record) -> Outcome:
    """Say of a refusal whether another contact has the address that a contact was to have."""
    email = str(record.fields.get("email") or "").casefold()
    moves = record.intent == "hold" and _id(record) and email != _email(record).casefold()
    # `Contact already exists. Existing ID: …`
    conflict = outcome.state == "refused" and "CONFLICT" in outcome.reason.split(": ")
    return replace(outcome, another=True) if moves and conflict else outcome


def _outcome(answer: Answer, remote: str | None = None) -> Outcome:
    said = answer.json()
    why = _why(said) if isinstance(said, dict) and not answer.ok else ""
    return by_status(answer, remote=remote, said=why)


def _why(error: Mapping[str, Any]) -> str:
    """Return the category of an error, and the properties that it names in its message.

    As `Property values were not valid: [{"isValid": false, "name": …}]`; what else is in there may
    tell a value.
    """
    category = str(error.get("category", ""))[:100]
    _, mark, listed = str(error.get("message", "")).partition("not valid: ")
    try:
        names = sorted({str(one["name"]) for one in json.loads(listed)}) if mark else []
    except (ValueError, TypeError, KeyError):
        names = []
    return f"{category}: {', '.join(names)}"[:200] if names else category


def _gone(outcome: Outcome) -> bool:
    return outcome.status == 404 or any(word in outcome.reason for word in NOT_THERE)


def _nothing_there(outcome: Outcome) -> Outcome:
    """What is not there any more needs no taking back."""
    if outcome.state == "refused" and _gone(outcome):
        return Outcome("taken", "there was no such contact any more", outcome.status, remote="")
    return outcome
