"""What Salesforce answers to a collection of records, and what to do about what it refuses."""

import re
from collections.abc import Sequence
from typing import Any

from app.destinations.kind import Outcome, Record, by_status
from app.destinations.wire import Answer

#: What passes by itself (errorcodes): somebody else holds the row, limits, maintenance.
LATER = frozenset({"UNABLE_TO_LOCK_ROW", "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE"})
#: There is no such record any more.
NOT_THERE = frozenset(
    {"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND", "MALFORMED_ID"}
)
#: What a field that may not be empty says of who has left.
LEFT = "-"
#: A checkbox that is null is refused by this code, and a field that is not there by that.
NO_NULL, NO_FIELD = "INVALID_TYPE_ON_FIELD_IN_RECORD", "INVALID_FIELD"


def otherwise_empty(
    body: dict[str, Any], record: Record, errors: Sequence[Any], taking_back: bool
) -> tuple[bool, list[str]]:
    """Empty the mapped fields that these errors name in the next way there is.

    Say whether anything of the body is otherwise now, and which fields are left as they are.
    """
    changed, stayed = False, []
    for error in errors:
        # One that names none speaks of the only one there is.
        only = record.fields if len(record.fields) == 1 else ()
        for name in error.get("fields") or only:
            if name not in record.fields or name not in body:
                continue
            empty, code = body[name] is None, error.get("statusCode")
            if empty and code == NO_NULL:
                body[name] = False
            elif taking_back and empty and code != NO_FIELD:
                body[name] = LEFT
            elif taking_back:
                del body[name]
                stayed.append(name)
            else:
                continue
            changed = True
    return changed, stayed


def read(
    records: Sequence[Record], answer: Answer, taking_back: bool
) -> tuple[dict[str, Outcome], dict[str, list[Any]]]:
    """Return the outcomes of a collection, and the errors of those that were refused.

    Its results are in the order of the records.
    """
    results = answer.json() if records else []
    if not answer.ok or not isinstance(results, list) or len(results) != len(records):
        outcome = whole(answer)
        wrong = [error_of(answer)] if outcome.state == "refused" else []
        return {r.message_id: outcome for r in records}, {r.message_id: wrong for r in records}
    pairs = list(zip(records, results, strict=True))
    found = {r.message_id: _result(result, r, taking_back) for r, result in pairs}
    return found, {
        r.message_id: result.get("errors") or []
        for r, result in pairs
        if found[r.message_id].state == "refused"
    }


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


def whole(answer: Answer) -> Outcome:
    """Say what an answer to all of them means."""
    if answer.ok:
        return Outcome("again", "the answer does not fit the request", answer.status)
    error = error_of(answer)
    said = ": ".join([error["statusCode"], *error["fields"]])
    return by_status(answer, said=said)


def error_of(answer: Answer) -> dict[str, Any]:
    """Read the error of a whole request, `[{"errorCode", "message"}]`, as that of a record."""
    said = answer.json()
    first = said[0] if isinstance(said, list) and said and isinstance(said[0], dict) else {}
    code = str(first.get("errorCode", ""))[:100]
    column = re.search(r"column '(\w{1,80})'", str(first.get("message", "")))
    return {"statusCode": code, "fields": [column[1]] if column and code == NO_FIELD else []}
