"""Other ways to find who is who, each in a process of its own; benchmark-only.

    python -P benchmarks/rivals.py METHOD RECORDS.json RESULT.json

RECORDS.json has `fields` (record -> canonical fields), `identifiers` (record -> namespace ->
value), and `labels` for the method that learns from a person's answers alone. RESULT.json gets
`clusters` (record -> cluster), `seconds` and `peak_mb`. Imports nothing of the product, so that
it runs in any interpreter that has the library it speaks of: dedupe (MIT), recordlinkage (BSD).
Exit status 3: the library is not there.
"""

import json
import logging
import random
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

Fields = dict[str, dict[str, str]]
Pairs = Iterable[tuple[str, str]]
ABSENT = 3
#: Answers that a person gives to dedupe, as in research/identity.md.
ANSWERS = 80
#: A value that more records share makes no candidates for recordlinkage.
CROWD = 50
#: The probability from which Splink's tutorial and dedupe's examples cluster.
SPLINK_THRESHOLD, DEDUPE_THRESHOLD = 0.95, 0.5


def rules(given: dict[str, Any]) -> Pairs:
    """Same e-mail, or phone, or first name, last name and birth date."""
    yield from _sharing(
        {record: list(_rule_keys(fields)) for record, fields in given["fields"].items()}
    )


def rules_and_identifiers(given: dict[str, Any]) -> Pairs:
    """The same, or the same login, loyalty number or device."""
    keys = {record: list(_rule_keys(fields)) for record, fields in given["fields"].items()}
    for record, found in given["identifiers"].items():
        keys[record] += [(space, value) for space, value in found.items()]
    yield from _sharing(keys)


def _rule_keys(fields: dict[str, str]) -> Iterator[tuple[str, ...]]:
    for fields_of_key in (("email",), ("phone",), ("first_name", "last_name", "birth_date")):
        if all(fields.get(f) for f in fields_of_key):
            yield (*fields_of_key, *(fields[f] for f in fields_of_key))


def _sharing(keys: dict[str, list[tuple[str, ...]]]) -> Pairs:
    first: dict[tuple[str, ...], str] = {}
    for record, found in keys.items():
        for key in found:
            yield first.setdefault(key, record), record


def splink(given: dict[str, Any]) -> Pairs:
    """Splink as its tutorial has it: library comparisons, prior from rules, EM twice, p >= .95."""
    import pyarrow as pa  # noqa: PLC0415 -- not every interpreter of a rival has it
    import splink.comparison_library as cl  # noqa: PLC0415 -- the same
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on  # noqa: PLC0415 -- the same

    fields = given["fields"]
    has = _present(fields)
    names = [n for n in ("first_name", "last_name") if n in has]
    comparisons = [cl.NameComparison(n) for n in names]
    if "birth_date" in has:
        comparisons.append(cl.DateOfBirthComparison("birth_date", input_is_string=True))
    if "email" in has:
        comparisons.append(cl.EmailComparison("email"))
    if "postcode" in has:
        comparisons.append(cl.ExactMatch("postcode"))
    if "city" in has:
        comparisons.append(cl.ExactMatch("city").configure(term_frequency_adjustments=True))
    if "address" in has:
        comparisons.append(cl.JaroWinklerAtThresholds("address", [0.9, 0.7]))
    for exact in ("phone", "national_id"):
        if exact in has:
            comparisons.append(cl.LevenshteinAtThresholds(exact, [1, 2]))
    keys = [k for k in (names, ["birth_date"], ["email"], ["phone"], ["national_id"],
                        ["last_name", "postcode"], ["first_name", "city"])
            if k and all(f in has for f in k)]  # fmt: skip
    columns = {f: pa.array([r.get(f) for r in fields.values()], pa.string()) for f in sorted(has)}
    table = pa.table({"unique_id": pa.array(list(fields), pa.string()), **columns})
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=comparisons,
        blocking_rules_to_generate_predictions=[block_on(*k) for k in keys],
    )
    api = DuckDBAPI()
    linker = Linker(api.register(table), settings, log_level=None)
    certain = [k for k in (["first_name", "birth_date"], ["email"], ["national_id"])
               if all(f in has for f in k)]  # fmt: skip
    training = linker.training
    training.estimate_probability_two_random_records_match(
        [block_on(*k) for k in certain], recall=0.7
    )
    training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    for key in [k for k in keys if k in (names, ["birth_date"])] or keys[:2]:
        training.estimate_parameters_using_expectation_maximisation(block_on(*key))
    found = linker.inference.predict(
        threshold_match_probability=SPLINK_THRESHOLD, warning_mode="never"
    )
    rows = api._con.execute(f"select unique_id_l, unique_id_r from {found.physical_name}")  # noqa: S608 -- its own table
    yield from rows.fetchall()


def recordlinkage(given: dict[str, Any]) -> Pairs:
    """recordlinkage: similarities cut at .85, classes by ECM without labels."""
    import pandas as pd  # noqa: PLC0415 -- not every interpreter has it
    import recordlinkage as rl  # noqa: PLC0415 -- the same

    fields = given["fields"]
    has = _present(fields)
    frame = pd.DataFrame.from_dict(fields, orient="index", columns=sorted(has))
    keys = [k for k in (["first_name", "last_name"], ["birth_date"], ["email"], ["phone"],
                        ["national_id"], ["last_name", "postcode"], ["first_name", "postcode"],
                        ["last_name", "city"], ["address", "city"])
            if all(f in has for f in k)]  # fmt: skip
    blocks: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for record, row in fields.items():
        for key in keys:
            if all(row.get(f) for f in key):
                blocks[(*key, *(row[f] for f in key))].append(record)
    candidates = {
        pair for block in blocks.values() if len(block) <= CROWD for pair in combinations(block, 2)
    }
    compare = rl.Compare()
    for name in sorted(has):
        if name in ("email", "phone", "postcode", "house_number", "national_id"):
            compare.exact(name, name, label=name)
        else:
            compare.string(name, name, method="jarowinkler", threshold=0.85, label=name)
    features = compare.compute(pd.MultiIndex.from_tuples(sorted(candidates)), frame)
    varied = features.loc[:, features.nunique() > 1]
    yield from rl.ECMClassifier(binarize=0.5).fit_predict(varied)


def dedupe(given: dict[str, Any]) -> Pairs:
    """Dedupe, which asks a person for 80 answers: the labels give them."""
    import dedupe as library  # noqa: PLC0415 -- not every interpreter has it
    import numpy as np  # noqa: PLC0415 -- the same

    random.seed(1)
    np.random.seed(1)
    fields, labels = given["fields"], given["labels"]
    has = sorted(_present(fields))
    records = {r: {f: row.get(f) for f in has} for r, row in fields.items()}
    record_of = {id(row): record for record, row in records.items()}
    matcher = library.Dedupe(
        [library.variables.String(f, has_missing=True) for f in has], num_cores=1, in_memory=True
    )
    matcher.prepare_training(records)
    for _ in range(ANSWERS):
        [(one, other)] = matcher.uncertain_pairs()
        same = labels[record_of[id(one)]] == labels[record_of[id(other)]]
        answer: dict[str, list[Any]] = {"match": [], "distinct": []}
        answer["match" if same else "distinct"].append((one, other))
        matcher.mark_pairs(answer)
    matcher.train()
    for members, _ in matcher.partition(records, DEDUPE_THRESHOLD):
        yield from ((members[0], other) for other in members[1:])


def _present(fields: Fields) -> set[str]:
    """Return the fields that at least two records in a hundred state."""
    counts: dict[str, int] = defaultdict(int)
    for row in fields.values():
        for name in row:
            counts[name] += 1
    return {name for name, count in counts.items() if count >= 0.02 * len(fields)}


def _clusters(records: Iterable[str], pairs: Pairs) -> dict[str, str]:
    parent = {record: record for record in records}

    def root(record: str) -> str:
        while parent[record] != record:
            parent[record] = parent[parent[record]]
            record = parent[record]
        return record

    for one, other in pairs:
        parent[root(other)] = root(one)
    return {record: root(record) for record in parent}


METHODS: dict[str, Callable[[dict[str, Any]], Pairs]] = {
    "rules": rules,
    "rules_and_identifiers": rules_and_identifiers,
    "splink": splink,
    "recordlinkage": recordlinkage,
    "dedupe": dedupe,
}


def main() -> None:
    """Run one method."""
    logging.disable(logging.WARNING)
    name, source, target = sys.argv[1:]
    given = json.loads(Path(source).read_text(encoding="utf-8"))
    started = time.perf_counter()
    try:
        clusters = _clusters(given["fields"], METHODS[name](given))
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        sys.exit(ABSENT)
    result = {
        "clusters": clusters,
        "seconds": round(time.perf_counter() - started, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    Path(target).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
