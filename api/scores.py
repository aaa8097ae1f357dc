"""What matching says of every candidate pair, for `parcours identity evaluate`; writes nothing.

The run of the worker keeps the pairs that it links or asks about; calibration needs those that it
leaves alone too. So this scores the same records anew, with the same functions, in a process of its
own because of Splink. It prints JSON: `pairs` as [probability, left, right], and for each `--at`
the person of each identifier of the namespace; identifiers are [namespace, value].
"""

import argparse
import json
import sys
from pathlib import Path

from api.cli.session import opened
from app.settings import Settings
from identity import assignments, candidates, matching, thresholds

#: Pairs that are less likely are many, and true ones among them few.
LEAST = 0.01


def main() -> None:
    """Score, and print."""
    arguments = argparse.ArgumentParser(prog="parcours scores")
    arguments.add_argument("--data-dir", type=Path, required=True)
    arguments.add_argument("--namespace", required=True)
    arguments.add_argument("--at", type=float, action="append", default=[])
    chosen = arguments.parse_args()
    with (
        opened(Settings(data_dir=chosen.data_dir, database_url=None)) as sessions,
        sessions() as session,
    ):
        names = assignments.names(session)
        pairs = matching.score(candidates.every(session), review=LEAST)
        known = thresholds.evidence(session) if chosen.at else None
        people = {
            at: [
                [names[i][1], person]
                for i, person in thresholds.people_at(known, pairs, at).items()
                if names[i][0] == chosen.namespace
            ]
            for at in chosen.at
            if known is not None
        }
    scored = [[p.probability, names[p.left], names[p.right]] for p in pairs]
    json.dump({"pairs": scored, "people": people}, sys.stdout)


if __name__ == "__main__":
    main()
