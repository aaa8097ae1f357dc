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
    devices, and from a login, or another name that is no address, to addresses; to these only where
    nothing else speaks of them, or with `doubtful`, for who does not show or erase them. It never
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
    came = {(row.namespace, row.value): row.came_at for row in found if row.came_at is not None}
    others = consents.told_before(session, came) if came and not doubtful else set()
    return [
        Own(row.id, row.namespace, row.value, row.person_id, row.profile_id)
        for row in found
        if doubtful or not (row.doubtful or (row.namespace, row.value) in others)
    ]
