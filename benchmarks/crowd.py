"""Invented people by the million, loaded as the pipeline would have left them.

Names by Zipf's law; a fifth have a second record, with a typo, another e-mail address and phone
number. `load` writes what identify events with these traits and a `profile.link` leave in the
schema `identity`: identifiers, the links between them, records. `tests/test_benchmark_crowd.py`
holds it against the pipeline itself.
"""

import json
import random
from collections.abc import Iterable, Iterator
from itertools import count, islice

import sqlalchemy as sa

from app import db
from app.db import Sessions
from identity import blocking, candidates
from identity.garbage import nobodys_number

SYLLABLES = "ba be bi bo bu da de di do du ka ke ki ko ku la le li lo lu ma me mi mo mu".split()
Fields = dict[str, str]
#: Records that are loaded at once.
PORTION = 50_000
_NUMBERS = count()

#: Ids in the order in which the pipeline gives them: an e-mail address, a phone number, a login.
LOAD = """
WITH made AS (
  INSERT INTO identity.identifier
    (id, namespace, value, group_id, person_id, reach_id, settled, link_consent)
  SELECT 3 * n + k, space, value, 3 * n, 3 * n, 3 * n, true,
         CASE WHEN space = 'user_id' THEN 'given' ELSE 'unknown' END
  FROM benchmark_crowd
  CROSS JOIN LATERAL (VALUES (0, 'email', email), (1, 'phone', phone), (2, 'user_id', login))
    AS i(k, space, value)
), links AS (
  INSERT INTO identity.link
    (kind, left_id, right_id, rule, evidence_id, first_at, last_week, evidence)
  SELECT 'event', 3 * n + k, 3 * n + 2, 'identify', 3 * n, now(),
         CAST(floor(extract(epoch FROM now()) / 604800) AS bigint), '{}'
  FROM benchmark_crowd CROSS JOIN (VALUES (0), (1)) AS i(k)
)
INSERT INTO identity.record (identifier_id, fields, keys)
SELECT 3 * n + 2, fields, keys FROM benchmark_crowd
"""


def population(people: int, dice: random.Random, twice: float = 0.2) -> Iterator[Fields]:
    """Yield the records of so many people."""
    firsts = [_word(dice, 2 + n % 2) for n in range(2_000)]
    lasts = [_word(dice, 2 + n % 3) for n in range(20_000)]
    for _ in range(people):
        person = {
            "first_name": firsts[_zipf(dice, len(firsts))],
            "last_name": lasts[_zipf(dice, len(lasts))],
            "birth_date": f"{dice.randint(1930, 2008)}-{dice.randint(1, 12):02}-"
            f"{dice.randint(1, 28):02}",
            "email": f"u{dice.getrandbits(48):x}@mail.net",
            "phone": _mobile(),
            "address": f"{dice.randint(1, 200)} {lasts[_zipf(dice, len(lasts))]} st",
            "postcode": f"{dice.randint(1_000, 95_999):05}",
        }
        yield person
        if dice.random() < twice:
            yield misspelt(person, dice)


def misspelt(person: Fields, dice: random.Random) -> Fields:
    """Return a second record of a person: a typo in the name, other addresses."""
    name = person["last_name"]
    place = dice.randrange(len(name))
    changed = {"last_name": name[:place] + "x" + name[place + 1 :], "phone": _mobile()}
    return {**person, **changed, "email": f"w{dice.getrandbits(48):x}@post.org"}


def load(sessions: Sessions, rows: Iterable[Fields], *, prefix: str, compared: bool) -> int:
    """Load the records; `compared` ones have blocking keys, as a matching run leaves them.

    Secondary indexes are built afterwards, as one does for a million rows. Return how many.
    """
    loaded, every = 0, iter(rows)
    first = _next(sessions)
    indexes = _drop_indexes(sessions)
    while some := list(islice(every, PORTION)):
        numbers = range(first + loaded, first + loaded + len(some))
        keys = _keys(numbers, some) if compared else {}
        staged = (
            (
                n,
                f"{prefix}{n}",
                fields["email"],
                f"+{fields['phone']}",
                json.dumps(fields),
                keys.get(n),
            )
            for n, fields in zip(numbers, some, strict=True)
        )
        with sessions.begin() as session:
            session.execute(sa.text(
                "CREATE TEMPORARY TABLE benchmark_crowd (n bigint, login text, email text,"
                " phone text, fields jsonb, keys bigint[]) ON COMMIT DROP"
            ))  # fmt: skip
            columns = ["n", "login", "email", "phone", "fields", "keys"]
            db.copy(session, "pg_temp.benchmark_crowd", columns, staged)
            session.execute(sa.text(LOAD))
        loaded += len(some)
    commands = [
        *indexes,
        f"SELECT setval('identity.identifier_id_seq', {3 * (first + loaded) + 3})",
        "VACUUM (ANALYZE) identity.identifier, identity.record, identity.link",
        "CHECKPOINT",
    ]
    db.outside_transaction(sessions, commands)
    return loaded


def _next(sessions: Sessions) -> int:
    with sessions() as session:
        last = session.scalar(sa.text("SELECT max(id) FROM identity.identifier"))
    return (last or 0) // 3 + 1


def _drop_indexes(sessions: Sessions) -> list[str]:
    """Drop the indexes that no constraint needs; return the commands that make them again."""
    with sessions.begin() as session:
        found = session.execute(
            sa.text(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'identity'"
                " AND tablename IN ('identifier', 'link', 'record') AND NOT EXISTS"
                " (SELECT FROM pg_constraint c WHERE c.conname = indexname)"
            )
        ).all()
        for name, _ in found:
            session.execute(sa.text(f"DROP INDEX identity.{name}"))
    return [definition for _, definition in found]


def _keys(numbers: Iterable[int], rows: list[Fields]) -> dict[int, list[int]]:
    keys: dict[int, list[int]] = {n: [] for n in numbers}
    table = candidates.table_of(
        [(n, json.dumps(row), "", True) for n, row in zip(keys, rows, strict=True)]
    )
    for n, _, key in blocking.keys_of(table):
        keys[n].append(key)
    return {n: sorted(theirs) for n, theirs in keys.items()}


def _mobile() -> str:
    """Return a number that nobody has yet: a shared one would be a link, and so none made up."""
    while nobodys_number(found := f"33{600_000_000 + next(_NUMBERS) * 48_271 % 200_000_000}"):
        pass
    return found


def _word(dice: random.Random, syllables: int) -> str:
    """Return an invented name."""
    return "".join(dice.choice(SYLLABLES) for _ in range(syllables)) + dice.choice("nrstl")


def _zipf(dice: random.Random, size: int) -> int:
    """Return a rank, the first of which are the most frequent."""
    return min(size - 1, int(size ** dice.random()) - 1)
