"""Which refusals stand is asked of one identifier without looking at those of everybody."""

from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

CROWD = """
INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,
                            recorded_at, order_time, collected_by, evidence, universal)
SELECT 'user_id', 'crowd-' || n, 'ads.share', 1, 'refused', now(), now(), now(), 'test', '{}',
       CASE WHEN n % 2 = 0 THEN 'opt_out' END
FROM generate_series(1, 2000) n
"""


def rows(plan: dict[str, Any]) -> float:
    """What a node and those below it returned, or read and left out."""
    own = sum(plan.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter"))
    return float(own * plan["Actual Loops"]) + sum(map(rows, plan.get("Plans", ())))


def test_to_carry_what_one_refused_reads_nothing_of_the_others(session: Session) -> None:
    session.execute(sa.text(CROWD))
    session.execute(sa.text("ANALYZE consent.record"))
    text = (files("consent") / "sql" / "carry_refusals.sql").read_text(encoding="utf-8")
    asked = {
        "namespaces": ["user_id"] * 2, "values": ["crowd-6", "crowd-7"],
        "to_namespaces": ["user_id"], "to_values": ["other"], "by": "test",
    }  # fmt: skip
    [plan] = session.scalar(sa.text("EXPLAIN (ANALYZE, FORMAT JSON) " + text), asked)
    assert plan["Plan"]["Plans"], "it was carried out"
    assert rows(plan["Plan"]) < 200
    copies = "SELECT count(*) FROM consent.record WHERE value = 'other'"
    assert session.scalar(sa.text(copies)) == 2
