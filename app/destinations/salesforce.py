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

from app.destinations.kind import Kind, Options, Outcome, Record, Setup, Target, by_status
from app.destinations.wire import Answer, Call, Wire, bearer

#: What passes by itself (errorcodes): somebody else holds the row, limits, maintenance.
LATER = frozenset({"UNABLE_TO_LOCK_ROW", "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE"})
#: There is no such record any more.
NOT_THERE = frozenset(
    {"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND", "MALFORMED_ID"}
)
#: What a field that may not be empty says of who has left.
LEFT = "-"
#: A field that is required is refused empty by this code; others that cannot be null by others.
REQUIRED = "REQUIRED_FIELD_MISSING"
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
        """Write records, those again whose empty fields cannot be null: Salesforce names them.

        A checkbox becomes false. Of who has left a field that is required says LEFT, and one that
        takes nothing of this stays: the others are emptied and the opt-out is set all the same, and
        the outcome says which stayed.
        """
        found: dict[str, Outcome] = {}
        stayed: dict[str, list[str]] = {}
        left = list(records)
        for _ in range(MOST_TRIES):
            call = self._call("PATCH", path, _body([bodies[r.message_id] for r in left]))
            outcomes, refused = self._collection(left, call, taking_back=taking_back)
            found |= outcomes
            again = []
            for record in left:
                body, errors = bodies[record.message_id], refused.get(record.message_id, ())
                changed, names = _otherwise_empty(body, record, errors, taking_back)
                stayed.setdefault(record.message_id, []).extend(names)
                if changed:
                    again.append(record)
            if not (left := again):
                break
        opt_out = self._setup.settings.opt_out
        whole = [
            r
            for r in records
            if taking_back and opt_out and r.withdrawn and found[r.message_id].state == "refused"
        ]
        # A rule may name no field: nobody may write to them all the same. The outcome stays failed.
        alone = [
            {name: bodies[r.message_id][name] for name in ("attributes", "id", opt_out) if name}
            for r in whole
        ]
        self._collection(whole, self._call("PATCH", path, _body(alone)), taking_back=True)
        for message, names in stayed.items():
            if names and found[message].state == "taken":
                reason = f"could not be emptied: {', '.join(sorted(names))}"[:200]
                found[message] = replace(found[message], state="refused", reason=reason)
        return found

    def _collection(
        self, records: Sequence[Record], call: Call, *, taking_back: bool = False
    ) -> tuple[dict[str, Outcome], dict[str, list[Any]]]:
        """Send a collection, and return the outcomes, and the errors of those that were refused.

        Its results are in the order of the records.
        """
        if not records:
            return {}, {}
        answer = self._wire.send(call)
        results = answer.json()
        if not answer.ok or not isinstance(results, list) or len(results) != len(records):
            return dict.fromkeys((r.message_id for r in records), _whole(answer)), {}
        pairs = list(zip(records, results, strict=True))
        found = {r.message_id: _result(result, r, taking_back) for r, result in pairs}
        return found, {
            r.message_id: result.get("errors") or []
            for r, result in pairs
            if found[r.message_id].state == "refused"
        }

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
                found[record.message_id] = _whole(answer)
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


def _otherwise_empty(
    body: dict[str, Any], record: Record, errors: Sequence[Any], taking_back: bool
) -> tuple[bool, list[str]]:
    """Empty the mapped fields that these errors name in the next way there is.

    Say whether anything of the body is otherwise now, and which fields are left as they are.
    """
    changed, stayed = False, []
    for error in errors:
        for name in error.get("fields") or ():
            if name not in record.fields or name not in body:
                continue
            value, required = body[name], error.get("statusCode") == REQUIRED
            if value is None and not required:
                body[name] = False
            elif taking_back and value in (None, False):
                body[name] = LEFT
            elif taking_back:
                del body[name]
                stayed.append(name)
            else:
                continue
            changed = True
    return changed, stayed


def _value(value: Any) -> Any:
    """Write a value: lists as Salesforce reads multi-select picklists."""
    return ";".join(value) if isinstance(value, list) else value


def _result(result: Any, record: Record, taking_back: bool) -> Outcome:
    if result.get("success"):
        return Outcome("taken", status=200, remote=str(result.get("id") or record.remote))
    errors = result.get("errors") or [{}]
    code = str(errors[0].get("statusCode") or errors[0].get("errorCode") or "unknown")
    if taking_back and code in NOT_THERE:
        return Outcome("taken", "there was no such record any more", 200, remote="")
    fields = ", ".join(map(str, errors[0].get("fields") or []))
    reason = f"{code}: {fields}" if fields else code
    return Outcome("again" if code in LATER else "refused", reason[:200], 200)


def _whole(answer: Answer) -> Outcome:
    """Say what an answer to all of them means: `[{"errorCode", "message"}]`."""
    said = answer.json()
    first = said[0] if isinstance(said, list) and said and isinstance(said[0], dict) else {}
    code = str(first.get("errorCode", ""))[:100]
    if answer.ok:
        return Outcome("again", "the answer does not fit the request", answer.status)
    return by_status(answer, said=code)
