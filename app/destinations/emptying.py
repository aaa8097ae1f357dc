"""Empties a record field by field where a receiver refuses it whole for one of its fields.

As when somebody deleted a field there: all the others would stay filled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from app.destinations.kind import Outcome, Record

#: So many requests for one record at most; what was not tried by then counts as left.
MOST = 64
#: Begins what an outcome says of fields that were left.
STAYED = "could not be emptied"


def emptied(
    records: Sequence[Record],
    found: Mapping[str, Outcome],
    key: str,
    send: Callable[[Record], Outcome],
) -> dict[str, Outcome]:
    """Return new outcomes for those of these records whose emptying was refused.

    All their fields are emptied but for the `key` field, which stays in any case, and those that
    are refused alone: the outcome names these, and stays refused. They are found by halves; in
    whose way one record's fields were, those are tried by themselves with the next.
    """
    stubborn: set[str] = set()
    again: dict[str, Outcome] = {}
    for record in records:
        refused = found[record.message_id]
        if refused.state != "refused":
            continue
        fields = {name: value for name, value in record.fields.items() if name != key}
        again[record.message_id] = _one(replace(record, fields=fields), refused, stubborn, send)
    return again


def _one(
    record: Record, refused: Outcome, stubborn: set[str], send: Callable[[Record], Outcome]
) -> Outcome:
    names = [name for name in record.fields if name not in stubborn]
    alone = [[name] for name in record.fields if name in stubborn]
    groups = [names, *alone] if alone and names else alone or _halves(names)
    stayed: list[str] = []
    taken = refused
    for _ in range(MOST):
        if not groups:
            break
        some = groups.pop(0)
        outcome = send(replace(record, fields={name: record.fields[name] for name in some}))
        if outcome.state == "taken":
            taken = outcome
        elif outcome.state != "refused":
            return outcome
        elif len(some) == 1:
            stayed += some
        else:
            groups = [*_halves(some), *groups]
    stayed += [name for some in groups for name in some]
    stubborn.update(stayed)
    if not stayed:
        return taken
    why = f"{refused.reason}; {STAYED}: {', '.join(sorted(stayed))}"
    return replace(refused, reason=why[:200])


def _halves(names: list[str]) -> list[list[str]]:
    middle = len(names) // 2
    return [half for half in (names[:middle], names[middle:]) if half]
