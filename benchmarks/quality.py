"""How well people are resolved on public labelled sets, beside other tools; writes docs/quality.md.

    python -m benchmarks.quality [--sets DIRECTORY] [--only NAME ...] [--rivals PYTHON] [--keep DIR]

Each set is a folder with `records.parquet`, whose truth is in the column `cluster`. The product is
measured by its own command, `parcours identity evaluate --people … --sweep`, untuned; each rival
runs in a process of its own (benchmarks/rivals.py) on the canonical fields of the same records. A
set, or a library of a rival, that is not there is said to be skipped. `--rivals` names an
interpreter that has dedupe and recordlinkage, which are no dependencies of the product. With
`--keep` what was measured is kept in a folder, and a run that was cut short goes on from there.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from api.cli.labelled import SPACES, Labelled, read
from benchmarks import rivals
from benchmarks.quality_page import Row, Set, page
from identity.attributes import from_traits
from identity.identifiers import normalise
from identity.quality import pairwise

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "quality.md"
#: From small to large. `cdp_train` is what the shipped shares were measured on: no test.
SETS = ("senzing_truth", "fake_1000", "febrl3", "febrl4", "pseudopeople", "cdp_graph")
NAMES = {
    "rules": "deterministic rules",
    "rules_and_identifiers": "the same rules, and logins, cards, devices",
    "splink": "Splink, documented settings",
    "recordlinkage": "recordlinkage, ECM",
    "dedupe": f"dedupe, {rivals.ANSWERS} answers",
}
#: Methods that are told something of the truth.
LABELLED = ("dedupe",)
ELSEWHERE = ("dedupe", "recordlinkage")


def main() -> None:
    """Measure, print, and write the page after each set."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sets", type=Path, default=ROOT.parent / "shared" / "data" / "er")
    arguments.add_argument("--only", nargs="*", default=SETS)
    arguments.add_argument("--rivals", default=os.environ.get("RIVALS_PYTHON", sys.executable))
    arguments.add_argument("--patience", type=int, default=600, help="seconds for one rival")
    arguments.add_argument("--page", type=Path, default=PAGE)
    arguments.add_argument("--keep", type=Path)
    chosen = arguments.parse_args()
    if chosen.keep:
        chosen.keep.mkdir(parents=True, exist_ok=True)
    sets: list[Set] = []
    for name in chosen.only:
        file = chosen.sets / name / "records.parquet"
        kept = chosen.keep / f"{name}.json" if chosen.keep else None
        if kept and kept.is_file():
            found = msgspec.json.decode(kept.read_bytes(), type=Set)
        elif file.is_file():
            found = _measure(name, file, chosen.rivals, chosen.patience)
        else:
            found = Set(name, skipped="not there")
        if kept and found.product:
            kept.write_bytes(msgspec.json.encode(found))
        sets.append(found)
        text = page(sets)
        chosen.page.write_text(text, encoding="utf-8")
    print(text)


def product(name: str, file: Path) -> Set:
    """Measure the product on one set by its own command, without rivals."""
    origin = _origin()
    done = subprocess.run(
        [sys.executable, "-m", "api", "identity", "evaluate", "--people", file, "--truth",
         "cluster", "--sweep", "--json"],
        stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    ours = json.loads(done.stdout)
    best = max(ours["sweep"].items(), key=lambda item: item[1]["b3_f1"])
    return Set(
        name,
        product=Row("Parcours, defaults", ours, ours["seconds"], ours["peak_mb"]),
        best=Row(f"Parcours, best threshold by labels ({best[0]})", best[1], labels=True),
        calibration=ours["calibration"],
        origin=origin,
    )


def _measure(name: str, file: Path, python: str, patience: int) -> Set:
    print(f"{name}: the product", file=sys.stderr, flush=True)
    found = product(name, file)
    labelled = read(file, "cluster", None, [])
    with tempfile.TemporaryDirectory(prefix="parcours-rivals-") as scratch:
        for method in rivals.METHODS:
            print(f"{name}: {method}", file=sys.stderr, flush=True)
            interpreter = python if method in ELSEWHERE else sys.executable
            found.rivals.append(_rival(method, labelled, Path(scratch), interpreter, patience))
    return found


def _rival(method: str, labelled: Labelled, scratch: Path, python: str, patience: int) -> Row:
    """Run a method in a process of its own; what does not come to an end is a row that says so."""
    given, result = scratch / "given.json", scratch / "result.json"
    labels = dict(zip(labelled.names, (r[labelled.truth] for r in labelled.rows), strict=True))
    told = {"labels": labels} if method in LABELLED else {}
    given.write_text(json.dumps({**_given(labelled), **told}), encoding="utf-8")
    result.unlink(missing_ok=True)
    row = Row(NAMES[method], labels=method in LABELLED)
    try:
        done = subprocess.run(
            [python, "-P", ROOT / "benchmarks" / "rivals.py", method, given, result],
            capture_output=True, text=True, check=False, timeout=patience,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        row.skipped = f"stopped after {patience} s"
        return row
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        row.skipped = "not installed" if done.returncode == rivals.ABSENT else f"failed: {said}"
        return row
    answer = json.loads(result.read_text(encoding="utf-8"))
    row.figures = asdict(pairwise(answer["clusters"], labels))
    row.seconds, row.peak_mb = answer["seconds"], answer["peak_mb"]
    return row


def _given(labelled: Labelled) -> dict[str, Any]:
    """Return the records as rivals get them: with the product's canonical fields."""
    fields, identifiers = {}, {}
    for name, row in zip(labelled.names, labelled.rows, strict=True):
        known = {labelled.meaning[k]: v for k, v in row.items() if k in labelled.meaning}
        fields[name] = from_traits(known)
        values = {space: normalise(space, known[space]) for space in SPACES if space in known}
        identifiers[name] = {space: value for space, value in values.items() if value}
    return {"fields": fields, "identifiers": identifiers}


def _origin() -> str:
    """Say when, on what commit and on which machine this runs."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "api", "app", "identity", "consent")
    dirty = " with changes in " + ", ".join(
        sorted(f"`{line[3:]}`" for line in changed.splitlines())
    ) if changed else ""  # fmt: skip
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit `{commit}`{dirty}, with "
        f"Splink {version('splink')}, Python {platform.python_version()} on {os.cpu_count()} cores "
        f"of a load of {os.getloadavg()[0]:.1f} before."
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.rstrip()


if __name__ == "__main__":
    main()
