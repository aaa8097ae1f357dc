"""Salesforce: records of one object, upserted by an external id that is the profile's.

developer.salesforce.com, REST API: sObject Collections (upsert by external id, update, delete; at
most 200 records a request, an outcome for each), rows by external id (get, delete), and the OAuth
2.0 client credentials flow.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field

from app.destinations.emptying import STAYED, emptied
from app.destinations.kind import Kind, Options, Outcome, Record, Setup, Target, by_status
from app.destinations.salesforce_answers import LEFT, error_of, otherwise_empty, read, whole
from app.destinations.wire import Answer, Call, Wire, bearer

#: So often is a record written again, with other fields empty in another way.
MOST_TRIES = 10
#: Whose token it is: the domain, the client and its secret.
_Client = tuple[str, str, str]
NAME = r"^[A-Za-z]\w{0,79}$"


class SalesforceSettings(Options):
    """Which organisation, object and field."""

    url: str = Field(
        max_length=2048, pattern="^https?://", description="My Domain, which gives tokens too."
    )
    object: str = Field(default="Contact", pattern=NAME)
    external_id: str = Field(
        default="Parcours_Id__c", pattern=NAME, description="A unique external id field, text(36)."
    )
    version: str = Field(default="v66.0", pattern=r"^v\d{2,3}\.0$")
    on_leave: Literal["clear", "delete"] = Field(
        default="clear",
        description="Empty the mapped fields of who is in no segment any more, or delete the "
        "record. Who is erased is deleted in any case.",
    )
    allow_duplicates: bool = Field(
        default=False,
        description="Save records also where a duplicate rule only warns (allowSave); refused "
        "with DUPLICATES_DETECTED otherwise.",
    )
    opt_out: str | None = Field(
        default=None,
        pattern=NAME,
        description="A checkbox that is set for who withdraws, such as HasOptedOutOfEmail; taken "
        "out again only for who agrees anew.",
    )


class SalesforceSecrets(Options):
    """The client of the OAuth 2.0 client credentials flow."""

    client_id: str = Field(min_length=1, max_length=500)
    client_secret: str = Field(min_length=1, max_length=500)


class Salesforce(Kind):
    """Records in Salesforce."""

    name = "salesforce"
    about = "Contacts, leads or another object in Salesforce, by an external id."
    settings = SalesforceSettings
    secrets = SalesforceSecrets
    places = frozenset({"url", "object", "external_id"})
    template: ClassVar[Mapping[str, Any]] = {
        "LastName": {"trait": "last_name"},
        "FirstName": {"trait": "first_name"},
        "Email": {"identifier": "email"},
    }

    def __init__(self) -> None:
        """Know no token yet."""
        self._tokens: dict[_Client, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def address(self, settings: Any) -> str:
        """Return the organisation's domain."""
        return str(settings.url)

    def targets(self, settings: Any) -> Mapping[str, Target]:
        """Return standard fields of contacts; of another object all are its own."""
        if settings is not None and settings.object not in ("Contact", "Lead"):
            return {}
        return {
            "LastName": Target(required=True, longest=80),
            "FirstName": Target(longest=40),
            "Email": Target("email", longest=80),
            "Phone": Target(longest=40),
            "Birthdate": Target("date"),
        }

    def known_by(self, setup: Setup, record: Record) -> str | None:
        """Return the external id, until Salesforce has told its own."""
        return f"external:{record.profile_id}"

    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return the records of the batch."""
        return [_upsert(setup, record) for record in records]

    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Take back first, then upsert; a token that has expired is fetched anew, once."""
        key = (setup.url, setup.secrets.client_id, setup.secrets.client_secret)
        for attempt in (1, 2):
            token = self._token(key, setup, wire)
            if isinstance(token, Outcome):
                return [token] * len(records)
            outcomes = _Sending(setup, wire, *token).send(records)
            if attempt == 1 and any(o.status == 401 for o in outcomes):
                with self._lock:
                    self._tokens.pop(key, None)
                continue
            break
        return outcomes

    def _token(self, key: _Client, setup: Setup, wire: Wire) -> tuple[str, str] | Outcome:
        with self._lock:
            known = self._tokens.get(key)
        if known is not None:
            return known
        form = {
            "grant_type": "client_credentials",
            "client_id": setup.secrets.client_id,
            "client_secret": setup.secrets.client_secret,
        }
        url = setup.url.rstrip("/") + "/services/oauth2/token"
        answer = wire.send(Call("POST", url, form, form=True))
        said = answer.json()
        if not answer.ok or not isinstance(said, dict) or "access_token" not in said:
            code = str(said.get("error", ""))[:100] if isinstance(said, dict) else ""
            reason = f"no token: {answer.error} {code}".strip()
            return Outcome("again", reason, answer.status, answer.retry_after_seconds)
        found = str(said["access_token"]), str(said.get("instance_url") or setup.url).rstrip("/")
        with self._lock:
            self._tokens[key] = found
        return found


class _Sending:
    """One batch on its way."""

    def __init__(self, setup: Setup, wire: Wire, token: str, instance: str) -> None:
        self._setup, self._wire, self._headers = setup, wire, bearer(token)
        if setup.settings.allow_duplicates:
            self._headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true"
        self._base = f"{instance}/services/data/{setup.settings.version}"

    def send(self, records: Sequence[Record]) -> list[Outcome]:
        delete = self._setup.settings.on_leave == "delete"
        gone = [r for r in records if r.intent == "forget" or (r.intent == "release" and delete)]
        known = [r for r in gone if not _external(r)]
        cleared = [r for r in records if r.intent == "release" and not delete]
        found = self._deleted_by_external_id([r for r in gone if _external(r)])
        ids = ",".join(str(r.remote) for r in known)
        call = self._call("DELETE", f"/composite/sobjects?ids={ids}&allOrNone=false", None)
        deleted, _ = self._collection(known, call, taking_back=True)
        found |= {m: replace(o, remote="") for m, o in deleted.items()}
        cleared, unknown = self._looked_up(cleared)
        found |= unknown
        empty = {record.message_id: _cleared(self._setup, record) for record in cleared}
        found |= self._saved(cleared, "/composite/sobjects", empty, taking_back=True)
        held = [record for record in records if record.intent == "hold"]
        settings = self._setup.settings
        path = f"/composite/sobjects/{settings.object}/{settings.external_id}"
        made = {record.message_id: _upsert(self._setup, record) for record in held}
        found |= self._saved(held, path, made)
        return [found[record.message_id] for record in records]

    def _saved(
        self,
        records: Sequence[Record],
        path: str,
        bodies: dict[str, dict[str, Any]],
        *,
        taking_back: bool = False,
    ) -> dict[str, Outcome]:
        """Write records. Of who has left all there is to empty is emptied, and the opt-out is set,
        whatever refuses the rest: the outcome says which fields stayed, and is refused then.
        """
        found = self._written(records, path, bodies, taking_back)
        if not taking_back:
            return found
        as_they_were = [r for r in records if found[r.message_id].state == "refused"
                        and STAYED not in found[r.message_id].reason]  # fmt: skip
        # A rule may name no field: nobody may write to them all the same.
        marked: dict[str, Outcome] = {}
        if self._setup.settings.opt_out:
            out = [replace(r, fields={}) for r in as_they_were if r.withdrawn]
            alone = _body([_cleared(self._setup, record) for record in out])
            marked, _ = self._collection(out, self._call("PATCH", path, alone), taking_back=True)

        def send(record: Record) -> Outcome:
            some = {record.message_id: _cleared(self._setup, replace(record, withdrawn=False))}
            return self._written([record], path, some, True)[record.message_id]

        found |= emptied(as_they_were, found, "", send)
        return found | {m: outcome for m, outcome in marked.items() if outcome.state != "taken"}

    def _written(
        self,
        records: Sequence[Record],
        path: str,
        bodies: dict[str, dict[str, Any]],
        taking_back: bool,
    ) -> dict[str, Outcome]:
        """Write records, those again whose empty fields cannot be null: Salesforce names them.

        A checkbox becomes false. Of who has left a field that is required says LEFT, and one that
        takes nothing of this stays.
        """
        found: dict[str, Outcome] = {}
        stayed: dict[str, list[str]] = {}
        left = list(records)
        for _ in range(MOST_TRIES):
            outcomes, refused = self._sent(left, path, bodies, taking_back)
            found |= outcomes
            again = []
            for record in left:
                body, errors = bodies[record.message_id], refused.get(record.message_id, ())
                changed, names = otherwise_empty(body, record, errors, taking_back)
                stayed.setdefault(record.message_id, []).extend(names)
                if changed:
                    again.append(record)
            if not (left := again):
                break
        for message, names in stayed.items():
            if names and found[message].state == "taken":
                reason = f"{STAYED}: {', '.join(sorted(names))}"[:200]
                found[message] = replace(found[message], state="refused", reason=reason)
        return found

    def _sent(
        self,
        records: Sequence[Record],
        path: str,
        bodies: Mapping[str, dict[str, Any]],
        taking_back: bool,
    ) -> tuple[dict[str, Outcome], dict[str, list[Any]]]:
        """Send a collection; each record alone where a value of one is none of its field's type:
        then Salesforce takes none of them.
        """
        calls = [self._call("PATCH", path, _body([bodies[r.message_id]])) for r in records]
        together = _body([bodies[r.message_id] for r in records])
        answer = self._wire.send(self._call("PATCH", path, together)) if records else Answer(200)
        if answer.status != 400 or len(records) == 1 or error_of(answer)["fields"]:
            return read(records, answer, taking_back)
        found: dict[str, Outcome] = {}
        errors: dict[str, list[Any]] = {}
        for record, one in zip(records, self._wire.send_all(calls), strict=True):
            outcomes, wrong = read([record], one, taking_back)
            found |= outcomes
            errors |= wrong
        return found, errors

    def _collection(
        self, records: Sequence[Record], call: Call, *, taking_back: bool = False
    ) -> tuple[dict[str, Outcome], dict[str, list[Any]]]:
        return read(records, self._wire.send(call) if records else Answer(200), taking_back)

    def _looked_up(self, records: Sequence[Record]) -> tuple[list[Record], dict[str, Outcome]]:
        """Find records by the external id whose own id Salesforce has not told: the answer to the
        first upsert was lost, and it may have arrived. Another upsert would make what is not there.
        Return who is there, and the outcomes of the others.
        """
        asked = [record for record in records if _external(record)]
        settings = self._setup.settings
        path = f"/sobjects/{settings.object}/{settings.external_id}/{{}}?fields=Id"
        answers = self._wire.send_all(
            [self._call("GET", path.format(quote(r.profile_id)), None) for r in asked]
        )
        known, found = [record for record in records if not _external(record)], {}
        for record, answer in zip(asked, answers, strict=True):
            said = answer.json()
            if answer.status == 404:
                found[record.message_id] = Outcome("taken", status=404, remote="")
            elif answer.ok and isinstance(said, dict) and said.get("Id"):
                known.append(replace(record, remote=str(said["Id"])))
            else:
                found[record.message_id] = whole(answer)
        return known, found

    def _deleted_by_external_id(self, records: Sequence[Record]) -> dict[str, Outcome]:
        settings = self._setup.settings
        path = f"/sobjects/{settings.object}/{settings.external_id}/"
        calls = [self._call("DELETE", path + quote(r.profile_id), None) for r in records]
        answers = self._wire.send_all(calls)
        return {
            record.message_id: Outcome("taken", status=404, remote="")
            if answer.status == 404
            else by_status(answer, remote="")
            for record, answer in zip(records, answers, strict=True)
        }

    def _call(self, method: str, path: str, body: Any) -> Call:
        return Call(method, self._base + path, body, self._headers)


def _external(record: Record) -> bool:
    """Say whether Salesforce has told no id of the record."""
    return not record.remote or record.remote.startswith("external:")


def _body(records: Sequence[Any]) -> dict[str, Any]:
    return {"allOrNone": False, "records": list(records)}


def _upsert(setup: Setup, record: Record) -> dict[str, Any]:
    settings = setup.settings
    fields = {name: _value(value) for name, value in record.fields.items()}
    if settings.opt_out and record.agreed_again:
        fields[settings.opt_out] = False
    return {
        "attributes": {"type": settings.object},
        settings.external_id: record.profile_id,
        **fields,
    }


def _cleared(setup: Setup, record: Record) -> dict[str, Any]:
    settings = setup.settings
    empty = dict.fromkeys(record.fields)
    made = {"attributes": {"type": settings.object}, "id": record.remote, **empty}
    if "LastName" in record.fields:
        made["LastName"] = LEFT
    if settings.opt_out and record.withdrawn:
        made[settings.opt_out] = True
    return made


def _value(value: Any) -> Any:
    """Write a value: lists as Salesforce reads multi-select picklists."""
    return ";".join(value) if isinstance(value, list) else value
