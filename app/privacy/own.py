"""What is one person's by what events proved, and by what only they can know (decision 0074)."""

from collections.abc import Collection

from sqlalchemy.orm import Session

from app.db import statement
from consent import erasure as consents
from identity import graph
from identity.erasure import Own

#: What a device calls itself, by chance and at length: whoever says it has seen the device.
DEVICES = ("anonymous_id", "device_id")
#: What many know of a person.
ADDRESSES = ("email", "phone")


def own(
    session: Session, shown: Collection[tuple[str, str]], *, doubtful: bool = False
) -> list[Own]:
    """Return these identifiers, and all that is the same person's.

    A write key that stands in a page proves nobody (decision 0063), and anybody can send with it
    that somebody's login has their address. So what such a key joins leads from what was shown to
    devices, and from a login, or another name that is no address, to addresses. These are not
    `proved`: they are among the answer only where nothing but events of the others speaks of them,
    and no consent at any time, or with `doubtful`, for who does not show or erase them. It never
    leads to a name, nor to an address from a device or another address. What a match or somebody's
    decision joined is not among them either, for it may be somebody else's (GDPR art. 15(4)): a
    reviewer adds it to what is asked for, or does not.
    """
    asked = {
        "rows": graph.rows_of([{"namespace": n, "value": v} for n, v in sorted(shown)]),
        "devices": list(DEVICES),
        "addresses": list(ADDRESSES),
    }
    found = session.execute(statement("app.privacy", "own"), asked).all()
    unproved = [(row.namespace, row.value) for row in found if not row.proved]
    others = consents.told_of(session, unproved) if unproved and not doubtful else set()
    return [
        Own(row.id, row.namespace, row.value, row.person_id, row.profile_id, row.proved)
        for row in found
        if doubtful or not (row.doubtful or (row.namespace, row.value) in others)
    ]
