"""A proposal from what a source sent takes little memory, however much that was."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db import Sessions
from app.plans import arrivals
from app.plans.infer import Arrival, propose

SINCE = datetime.now(UTC) - timedelta(days=1)
#: 30 KB that PostgreSQL does not compress, so that they are read as they are stored.
FILL = """
    INSERT INTO app.event (source_id, message_id, type, name, identifier_id, identifier_ids,
        occurred_at, received_at, refused, properties, context, part)
    SELECT s.id, 'm-' || n, 'track', 'Big', n, '{}', now(), now(), '{}',
        json_build_object('text', t.text, 'n', n), '{}', p.part
    FROM generate_series(1, :events) n, app.source s,
        (SELECT string_agg(md5(i::text), '') AS text FROM generate_series(1, 940) i) t,
        (SELECT part FROM app.event_partition WHERE opened_at IS NOT NULL LIMIT 1) p
"""


def high_water() -> int:
    """Return the most memory this process held since it was asked before, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return int(peak) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for its memory")
def test_a_proposal_from_many_large_events_holds_few_of_them_at_a_time(
    sessions: Sessions, write_key: str
) -> None:
    with sessions.begin() as session:
        session.execute(sa.text(FILL), {"events": 3_000})
    with sessions() as session:
        arrivals.infer(session, "web", since=SINCE, limit=1, required_share=1)
        high_water()
        before = high_water()
        proposal = arrivals.infer(session, "web", since=SINCE, limit=100_000, required_share=1)
        grown = high_water() - before
    # 90 MB are there; reading ends at 64 MB of them.
    assert 2_000 < proposal.events < 2_400
    assert proposal.definition["rules"][0]["properties"]["properties"]["n"]["type"] == "integer"
    assert grown < 30_000_000, grown


def test_names_that_every_event_makes_up_anew_take_no_memory_without_end() -> None:
    def made_up(n: int) -> Arrival:
        inner = {f"k{n}x{i}": {"a": 1, "b": "x"} for i in range(50)}
        return Arrival("track", f"E{n % 400}", n, {f"p{n}x{i}": inner for i in range(90)})

    tracemalloc.start()
    proposal = propose(made_up(n) for n in range(60))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert proposal.events == 60
    assert peak < 60_000_000, peak
