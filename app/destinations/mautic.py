"""Mautic: contacts by address and then by Mautic's id, with a tag for each segment.

devdocs.mautic.org, REST API, contacts: POST batch/new, PATCH batch/edit (404 for an id that is not
there), DELETE batch/delete, dnc/{channel}/add and /remove; at most 200 contacts a request. Each
entry of the answer has a status (`statusCodes`), those that failed an entry in `errors`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field

from app.destinations.emptying import emptied
from app.destinations.kind import (
    LATER,
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

#: Contacts with an address like the one looked for of which that one is picked.
LIKE = 30


class MauticSettings(Options):
    """Where Mautic is, and what becomes of who leaves."""

    url: str = Field(max_length=2048, pattern="^https?://", description="Without `/api`.")
    tags: bool = Field(default=True, description="Tag contacts with the keys of their segments.")
    on_leave: Literal["clear", "delete"] = Field(
        default="clear",
        description="Empty the mapped fields of who is in no segment any more, or delete the "
        "contact. Who is erased is deleted in any case.",
    )
    do_not_contact: bool = Field(
        default=False,
        description="Mark who withdraws as not to be contacted by e-mail; taken back only for who "
        "agrees anew.",
    )


class MauticSecrets(Options):
    """A user of Mautic that may use its API (HTTP Basic)."""

    user: str = Field(min_length=1, max_length=200)
    password: str = Field(min_length=1, max_length=500)


class Mautic(Kind):
    """Contacts in Mautic."""

    name = "mautic"
    about = "Contacts in Mautic, by e-mail address, and a tag for each segment."
    settings = MauticSettings
    secrets = MauticSecrets
    by_address = True
    template: ClassVar[Mapping[str, Any]] = {
        "email": {"identifier": "email"},
        "firstname": {"trait": "first_name"},
        "lastname": {"trait": "last_name"},
    }

    def address(self, settings: Any) -> str:
        """Return where Mautic is."""
        return str(settings.url)

    def targets(self, settings: Any) -> Mapping[str, Target]:
        """Return core fields; others are custom ones."""
        return {
            "email": Target("email", required=True),
            "firstname": Target(),
            "lastname": Target(),
            "phone": Target(),
            "mobile": Target(),
            "city": Target(),
            "country": Target(),
        }

    def known_by(self, setup: Setup, record: Record) -> str | None:
        """Return the address, until Mautic has told its id."""
        return f"email:{record.fields['email']}"

    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return the contacts of the batch."""
        return [_contact(setup, record) for record in records]

    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Take back first, then edit who is known, then make who is not."""
        sending = _Sending(setup, wire)
        found: dict[str, Outcome] = {}
        delete = setup.settings.on_leave == "delete"
        back = [record for record in records if record.intent != "hold"]
        found |= sending.delete([r for r in back if delete or r.intent == "forget"])
        found |= sending.release([r for r in back if r.message_id not in found])
        found |= sending.hold([record for record in records if record.intent == "hold"])
        if setup.settings.do_not_contact:
            found |= sending.do_not_contact(records, found)
        return [found[record.message_id] for record in records]


class _Sending:
    """One batch on its way."""

    def __init__(self, setup: Setup, wire: Wire) -> None:
        self._setup, self._wire = setup, wire
        self._headers = basic(setup.secrets.user, setup.secrets.password)
        #: By message, whom a look found by an address.
        self._looked_up: dict[str, str] = {}

    def hold(self, records: Sequence[Record]) -> dict[str, Outcome]:
        found = self._batch("PATCH", "batch/edit", [r for r in records if _id(r)])
        gone = {m for m, outcome in found.items() if outcome.status == 404}
        new = [r for r in records if not _id(r) or r.message_id in gone]
        return found | self._batch("POST", "batch/new", new)

    def release(self, records: Sequence[Record]) -> dict[str, Outcome]:
        known, found = self._found(records)
        mine = [r for r in records if r.message_id in known]
        found |= self._cleared(mine, known)
        return found | emptied(
            mine, found, "email", lambda r: self._cleared([r], known)[r.message_id]
        )

    def _cleared(self, records: Sequence[Record], known: Mapping[str, str]) -> dict[str, Outcome]:
        edited = self._batch("PATCH", "batch/edit", records, known)
        return {m: _not_there() if o.status == 404 else o for m, o in edited.items()}

    def delete(self, records: Sequence[Record]) -> dict[str, Outcome]:
        known, found = self._found(records)
        mine = [r for r in records if r.message_id in known]
        if not mine:
            return found
        ids = ",".join(known[r.message_id] for r in mine)
        answer = self._wire.send(self._call("DELETE", f"batch/delete?ids={ids}", None))
        for n, record in enumerate(mine):
            outcome = _entry(answer, n, known[record.message_id])
            gone = outcome.state == "taken" or outcome.status == 404
            found[record.message_id] = _not_there() if gone else outcome
        return found

    def do_not_contact(
        self, records: Sequence[Record], found: Mapping[str, Outcome]
    ) -> dict[str, Outcome]:
        """Mark who withdrew, and unmark who agrees anew; who could not be is tried again.

        Marked are also those whose fields could not be emptied: all the more must nobody write to
        them.
        """
        asked = [
            (record, self._marked(record, found[record.message_id]))
            for record in records
            if (record.withdrawn and record.intent == "release") or record.agreed_again
        ]
        asked = [(record, number) for record, number in asked if number]
        calls = [
            self._call(
                "POST",
                f"{number}/dnc/email/{'remove' if record.agreed_again else 'add'}",
                {"reason": 1},
            )
            for record, number in asked
        ]
        answers = self._wire.send_all(calls)
        return {
            record.message_id: by_status(answer)
            for (record, _), answer in zip(asked, answers, strict=True)
            if not answer.ok and answer.status != 404
        }

    def _found(self, records: Sequence[Record]) -> tuple[dict[str, str], dict[str, Outcome]]:
        """Return the ids of contacts, and the outcomes of those that are not there, or of whom
        Mautic could not be asked; of those whose id it has not told it is, by their address.
        """
        known = {r.message_id: _id(r) for r in records if _id(r)}
        outcomes = {r.message_id: _not_there() for r in records if r.message_id not in known}
        asked = [r for r in records if not _id(r) and r.remote]
        calls = [self._call("GET", f"?search={_search(r)}&limit={LIKE}", None) for r in asked]
        for record, answer in zip(asked, self._wire.send_all(calls), strict=True):
            said = answer.json()
            listed = said.get("contacts") if isinstance(said, dict) else None
            if not answer.ok:
                outcomes[record.message_id] = by_status(answer, said=_error(said))
            elif not isinstance(listed, dict | list):
                outcomes[record.message_id] = Outcome("again", UNREADABLE, answer.status)
            else:
                for row in listed.values() if isinstance(listed, dict) else listed:
                    if _address_of(row) == _address(record).casefold():
                        known[record.message_id] = str(row["id"])
        self._looked_up |= known
        return known, {m: outcome for m, outcome in outcomes.items() if m not in known}

    def _marked(self, record: Record, outcome: Outcome) -> str | None:
        """Return the contact that is marked, or not any more, after this outcome."""
        if outcome.state == "refused" and not record.agreed_again:
            return _id(record) or self._looked_up.get(record.message_id)
        return (outcome.remote or "").partition(" ")[0] if outcome.state == "taken" else None

    def _batch(
        self,
        method: str,
        path: str,
        records: Sequence[Record],
        ids: Mapping[str, str] | None = None,
    ) -> dict[str, Outcome]:
        if not records:
            return {}
        body = []
        for record in records:
            number = (ids or {}).get(record.message_id) or _id(record)
            more = {"id": int(number)} if method == "PATCH" else {}
            body.append({**_contact(self._setup, record), **more})
        answer = self._wire.send(self._call(method, path, body))
        outcomes = [_entry(answer, n, _id(record)) for n, record in enumerate(records)]
        return {
            record.message_id: replace(outcome, remote=_remote(outcome, record))
            for record, outcome in zip(records, outcomes, strict=True)
        }

    def _call(self, method: str, path: str, body: Any) -> Call:
        base = self._setup.url.rstrip("/") + "/api/contacts"
        url = base + path if path.startswith("?") else f"{base}/{path}"
        return Call(method, url, body, self._headers)


def _remote(outcome: Outcome, record: Record) -> str | None:
    """Return Mautic's id of a contact, and of who is held the address that it is known by."""
    if not outcome.remote or record.intent != "hold":
        return outcome.remote
    return f"{outcome.remote} {record.fields['email']}"


def _id(record: Record) -> str:
    """Return Mautic's id of a contact; empty where it has told none."""
    remote = record.remote or ""
    return "" if remote.startswith("email:") else remote.partition(" ")[0]


def _address(record: Record) -> str:
    return (record.remote or "").removeprefix("email:")


def _search(record: Record) -> str:
    return quote(f"email:{_address(record)}", safe="")


def _address_of(row: Any) -> str:
    """Return the address of a contact that was found. The search is for what is like an address
    (`_` stands for any character), and would find others.
    """
    fields = row.get("fields") if isinstance(row, dict) else None
    every = fields.get("all") if isinstance(fields, dict) else None
    return str(every.get("email") or "").casefold() if isinstance(every, dict) else ""


def _contact(setup: Setup, record: Record) -> dict[str, Any]:
    """Return a contact as it is to be: what has no value is emptied."""
    fields = {name: "" if value is None else value for name, value in record.fields.items()}
    if record.intent != "hold":
        fields.pop("email", None)  # what the contact is known by; delete where it must go too
    made: dict[str, Any] = {**fields, "overwriteWithBlank": True}
    if setup.settings.tags:
        made["tags"] = [key if key in record.segments else f"-{key}" for key in setup.segments]
    return made


def _entry(answer: Answer, number: int, known: str) -> Outcome:
    """Find what became of one contact in the answer to a batch."""
    said = answer.json()
    if answer.ok and not isinstance(said, dict):
        return Outcome("again", UNREADABLE, answer.status)
    if not answer.ok:
        return by_status(answer, said=_error(said))
    error = _at(said.get("errors"), number)
    code = _at(said.get("statusCodes"), number)
    if error:
        status = int(error.get("code") or code or 400)
        details = error.get("details")
        fields = ", ".join(sorted(details)) if isinstance(details, dict) else ""
        reason = f"{status}: {fields}".rstrip(": ")
        return Outcome("again" if status in LATER else "refused", reason, status)
    contact = _at(said.get("contacts"), number)
    if isinstance(contact, dict) and contact.get("id"):
        return Outcome("taken", status=answer.status, remote=str(contact["id"]))
    if known:
        return Outcome("taken", status=answer.status, remote=known)
    return Outcome("again", UNREADABLE, answer.status)


def _at(listed: Any, number: int) -> Any:
    """Return an entry of what PHP writes as a list, or as an object where some are left out."""
    if isinstance(listed, list):
        return listed[number] if number < len(listed) else None
    return listed.get(str(number)) if isinstance(listed, dict) else None


def _error(said: Any) -> str:
    errors = said.get("errors") if isinstance(said, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else {}
    return str(first.get("type") or first.get("code") or "")[:100] if first else ""


def _not_there() -> Outcome:
    return Outcome("taken", status=200, remote="")
