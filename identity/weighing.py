# ruff: noqa: S608 -- the SQL is composed of this package's constants and of learnt numbers; values
# of records travel as tables, never as text.
"""From what Splink said of each comparison to how surely two records are one person."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from identity.known import ScoredPair
from identity.likeness import levels_of
from identity.mixture import Model


def weigh(con: duckdb.DuckDBPyConnection, model: Model, threshold: float) -> Iterator[ScoredPair]:
    """Write `scored`, which of `pairs` reach the threshold by what was learnt; and return them.

    Comparison weights become probabilities: what was learnt of each, prior, household.
    """
    learnt = ", ".join(
        f"mw_{name} + {_learnt_sql(model, name)} as mw_{name}" for name in model.present
    )
    weight = " + ".join(f"mw_{name}" for name in model.present)
    home = " + ".join(_home_sql(model, name) for name in model.present)
    prior = math.log2(model.share / (1 - model.share))
    con.execute(
        f"""
        create table scored as
        select *, {prior!r}::double as prior, {prior!r}::double + weight + household as total from (
            select *, {weight} as weight, -log2(1 + {model.home_share / (1 - model.share)!r}
                * pow(2::double, {weight} + {home})) as household
            from (select * replace ({learnt}) from pairs))
        where total >= {_logit(threshold)} order by record_id_l, record_id_r
        """
    )
    return scored(con, model)


def scored(
    con: duckdb.DuckDBPyConnection, model: Model, among: str | None = None
) -> Iterator[ScoredPair]:
    """Yield what `weigh` wrote, in the order of record ids; or those `among` a table of (l, r)."""
    wanted = f" semi join {among} on l = record_id_l and r = record_id_r" if among else ""
    rows = con.cursor().execute(f"from scored{wanted} order by record_id_l, record_id_r")
    names = [column[0] for column in rows.description]
    while batch := rows.fetchmany(10_000):
        for row in batch:
            yield _scored(dict(zip(names, row, strict=True)), model.present)


def can_reach(model: Model, records: int, threshold: float) -> str:
    """Write, as SQL, whether a compared pair can reach the threshold whatever is learnt yet."""
    most = " + ".join(
        f"mw_{name} + {_by_level(name, _gains(model, name))}" for name in model.present
    )
    share = min(model.most_share(records), 0.5)
    return f"{most} + {math.log2(share / (1 - share))!r}::double >= {_logit(threshold)}"


def reaches(model: Model, threshold: float) -> str:
    """Write, as SQL, whether a compared pair can reach it by what was learnt: without a household.

    The discount for households only takes away.
    """
    learnt = " + ".join(f"mw_{name} + {_learnt_sql(model, name)}" for name in model.present)
    prior = math.log2(model.share / (1 - model.share))
    return f"{learnt} + {prior!r}::double >= {_logit(threshold)}"


def _gains(model: Model, name: str) -> list[float]:
    return [model.most_gain(name, level) for level in range(len(levels_of(name)))]


def _by_level(name: str, values: Sequence[float]) -> str:
    last = len(values) - 1
    cases = " ".join(f"when {last - i} then {value!r}::double" for i, value in enumerate(values))
    return f"case gamma_{name} {cases} else 0 end"


def _learnt_sql(model: Model, name: str) -> str:
    pairs = zip(model.m[name], levels_of(name), strict=True)
    return _by_level(name, [math.log2(m / level.m) for m, level in pairs])


def _home_sql(model: Model, name: str) -> str:
    pairs = zip(model.h[name], model.m[name], strict=True)
    return _by_level(name, [math.log2(h / m) for h, m in pairs])


def _logit(probability: float) -> str:
    if 0 < probability < 1:
        return repr(math.log2(probability / (1 - probability)))
    return "-1e9" if probability <= 0 else "1e9"


def _scored(row: Mapping[str, Any], present: Sequence[str]) -> ScoredPair:
    evidence = {name: float(row[f"mw_{name}"]) for name in present if row[f"gamma_{name}"] >= 0}
    evidence |= {"prior": float(row["prior"]), "household": float(row["household"])}
    weight = float(row["total"])
    return ScoredPair(
        left=min(row["record_id_l"], row["record_id_r"]),
        right=max(row["record_id_l"], row["record_id_r"]),
        weight=weight,
        probability=1 / (1 + 2.0 ** min(-weight, 1000)),
        evidence=evidence,
    )
