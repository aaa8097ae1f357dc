"""Kills server processes and PostgreSQL under load, and prints what became of what was sent.

`python -m benchmarks.kill --kills 50` ends with status 1 when anything acknowledged is lost or
stored twice.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.end_to_end.kills import Chaos
from tests.end_to_end.product import Product


def main() -> int:
    """Run, print the line, and return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--clients", type=int, default=6)
    arguments.add_argument("--seed", type=int, default=None, help="decides what is killed when")
    chosen = arguments.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.randrange(1_000_000)  # noqa: S311  # no secret
    with tempfile.TemporaryDirectory(prefix="parcours-kill-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)  # PostgreSQL runs under another account when we are root
        product = Product(Path(home))
        try:
            result = Chaos(product, seed, chosen.clients).run(chosen.kills)
        finally:
            product.close()
    print(result.line())
    for line in result.wrong[:20]:
        print("wrong:", line)
    good = not result.lost and not result.duplicates and not result.wrong
    return 0 if good and result.counted == result.stored == result.acknowledged else 1


if __name__ == "__main__":
    sys.exit(main())
