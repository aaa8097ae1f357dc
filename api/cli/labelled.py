"""A people file with labels: what of it is sent, and what stays behind to compare with.

The truth never becomes part of a message: `calls` has only the columns that mean something.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import ImportFailed
from app.imports import files, messages
from identity import columns as known_columns
from identity import identifiers
from identity.attributes import FIELDS
from identity.headings import guess_columns, guess_identifiers

#: The namespace of a labelled record: the record itself, which says nothing of the person.
RECORD = "record_id"
#: What the column that says who is who is called, best first; never one of households or sources.
TRUTHS = (
    "cluster", "clusterid", "truecluster", "trueclusterid", "clusterlabel", "entityid", "entid",
    "entity", "personid", "trueid", "truth", "groundtruth", "goldid", "gid", "simulantid", "cid",
    "label", "class",
)  # fmt: skip
#: How Febrl names records: of whom it is the original, or which copy.
_FEBRL = re.compile(r"(rec-\d+)-(?:org|dup-\d+)")
#: What ends, or begins, the columns of a file of pairs.
_SIDES = (
    re.compile(r"(?:l|left|ltable)[_. ](.+)|(.+)[_. ](?:l|left)", re.IGNORECASE),
    re.compile(r"(?:r|right|rtable)[_. ](.+)|(.+)[_. ](?:r|right)", re.IGNORECASE),
)
#: An age in whole years, as files write it.
_AGE = re.compile(
    r"(\d{1,3})(?:[.,]\d+)? ?(?:y|yo|yrs?|years?|ans?|jahre?|años?|anni|anos|jaar)?", re.IGNORECASE
)
#: Nobody is older; 999 stands for not known.
_OLDEST = 120
_DECIDED = frozenset(
    ("match", "ismatch", "label", "islabel", "judgement", "judgment", "gold", "duplicate",
     "isduplicate", "clericalmatchscore")
)  # fmt: skip
#: Columns with one of these meanings are sent as identifiers, all others as traits.
SPACES = ("user_id", "loyalty_id", "device_id", "anonymous_id")

#: What a column says that is written as a year of birth.
AGE = "age"

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Labelled:
    """The rows, the name of each, and what the columns mean: file column -> trait or namespace.

    `ignored` are the columns that mean nothing. `named` is the one that names the records, if any.
    """

    rows: list[dict[str, Any]]
    names: list[str]
    truth: str
    meaning: dict[str, str]
    ignored: list[str]
    named: str | None
    encoding: str

    def about(self) -> dict[str, Any]:
        """Return what of the file is used as what, and what is not."""
        return {
            "columns": self.meaning,
            "ignored": self.ignored,
            "named_by": self.named,
            "truth": self.truth,
            "encoding": self.encoding,
        }

    def labels(self) -> dict[Key, object]:
        """Return the true cluster of every record that has one."""
        labels = ((n, _label(row.get(self.truth))) for n, row in self._named())
        return {(RECORD, n): label for n, label in labels if label}

    def shows_nothing(self) -> bool:
        """Say whether no two records are labelled as one person."""
        labels = self.labels().values()
        return len(set(labels)) == len(labels)

    def known(self) -> dict[Key, object]:
        """Return the true cluster of every identifier all of whose records are of one cluster.

        A pair is scored between the identifiers that carry the attributes: the login where a
        record has one, so that several records are one candidate.
        """
        found: dict[Key, set[object]] = {}
        for name, row in self._named():
            if label := _label(row.get(self.truth)):
                for key in [(RECORD, name), *self._identifiers(row)]:
                    found.setdefault(key, set()).add(label)
        return {key: clusters.pop() for key, clusters in found.items() if len(clusters) == 1}

    def calls(self) -> Iterator[dict[str, Any]]:
        """Yield an identify call per record, of people who gave profile.link."""
        sent = (
            {RECORD: name, **{self.meaning[k]: v for k, v in row.items() if k in self.meaning}}
            for name, row in self._named()
        )
        return messages.people(
            sent,
            column=RECORD,
            namespace=RECORD,
            now=datetime.now(UTC),
            consents=["profile.link"],
            identifiers={space: space for space in SPACES},
        )

    def _named(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return zip(self.names, self.rows, strict=True)

    def _identifiers(self, row: Mapping[str, Any]) -> Iterator[Key]:
        for column, space in self.meaning.items():
            if space in SPACES and column in row:
                value = identifiers.normalise(space, str(row[column]))
                if value is not None:
                    yield space, value


def read(file: Path, truth: str | None, column: str | None, mapped: Iterable[str]) -> Labelled:
    """Read a labelled file and guess what its columns mean, unless `mapped` says so.

    Without `truth` the column that says who is who is known by its name, or by Febrl's names of
    records.
    Records are named after the column that names them, with a prefix: a bare `0` would be a value
    that identifies nobody, and its record lost. They are numbered where no column tells them apart.
    Raises ImportFailed.
    """
    rows = list(files.rows(file))
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ImportFailed(f"{file.name}: no rows, or rows that are no records")
    # Some files have a space after each separator, and so before each heading.
    rows = [{name.strip(): value for name, value in row.items()} for row in rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if _are_pairs(columns):
        raise ImportFailed(
            f"{file.name}: its rows are pairs of records; evaluate reads a file with one record a "
            f"row and a column that is equal for records of one person; it has {', '.join(columns)}"
        )
    if truth is None:
        truth = _guess_truth(file, rows, columns)
    for wanted in (column, truth):
        if wanted is not None and wanted not in columns:
            raise ImportFailed(
                f"{file.name}: name the columns with --id-column and --truth; "
                f"it has {', '.join(columns)}"
            )
    choice = [column] if column else [c for c in messages.ID_COLUMNS if c in columns and c != truth]
    named = next((c for c in choice if _names_rows(rows, c)), None)
    names = [f"r-{row[named] if named else n}".strip() for n, row in enumerate(rows)]
    others = [c for c in columns if c not in (named, column, truth)]
    told = dict(_split(entry, others) for entry in mapped)
    # Logins of which each record has its own show nothing but that all are different people.
    logins = {k: v for k, v in guess_identifiers(others).items() if not _all_differ(rows, k)}
    guessed = {**guess_columns(others), **logins}
    meaning = {k: v for k, v in guessed.items() if v not in told.values()} | told
    if not meaning:
        raise ImportFailed(
            f"{file.name}: no column is known by its name; say what they mean with --map, such as "
            f"--map {others[0] if others else 'column'}=last_name; it has {', '.join(columns)}"
        )
    ignored = [c for c in others if c not in meaning]
    _read_ages(rows, meaning)
    return Labelled(rows, names, truth, meaning, ignored, named, files.encoding(file))


def _read_ages(rows: Iterable[dict[str, Any]], meaning: dict[str, str]) -> None:
    """Write years of birth for ages, which no event can state: next year they say something else.

    When the file was written is the same for all of its rows, so it does not matter.
    """
    this_year = datetime.now(UTC).year
    for column in [c for c, means in meaning.items() if means == AGE]:
        meaning[column] = "birth_year"
        for row in rows:
            if column in row:
                found = _AGE.fullmatch(str(row[column]).strip())
                age = int(found[1]) if found else None
                row[column] = "" if age is None or age > _OLDEST else str(this_year - age)


def _guess_truth(file: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return the column that says who is who; raises ImportFailed where none can be it."""
    by_name = {known_columns.spelling(name): name for name in reversed(columns)}
    for known in TRUTHS:
        if known in by_name and not _all_differ(rows, by_name[known]):
            return by_name[known]
    for name in columns:
        values = [str(row.get(name, "")) for row in rows]
        if all(map(_FEBRL.fullmatch, values)):
            return name
    raise ImportFailed(
        f"{file.name}: say with --truth which column is equal for records of one person; "
        f"it has {', '.join(columns)}"
    )


def _are_pairs(columns: Iterable[str]) -> bool:
    """Say whether a row has a left and a right record, or names of two and a decision."""
    names = [name.strip() for name in columns]
    left, right = (
        {next(filter(None, found.groups())).lower() for name in names
         if (found := side.fullmatch(name))}
        for side in _SIDES
    )  # fmt: skip
    spelled = {known_columns.spelling(name) for name in names}
    return {"left", "right"} <= spelled or (bool(left & right) and not spelled.isdisjoint(_DECIDED))


def _names_rows(rows: Iterable[Mapping[str, Any]], column: str) -> bool:
    values = [str(row.get(column, "")).strip() for row in rows]
    return "" not in values and len(set(values)) == len(values)


def _all_differ(rows: Iterable[Mapping[str, Any]], column: str) -> bool:
    values = [str(row[column]).strip() for row in rows if column in row]
    return len(values) == len(set(values)) > 1


def _label(value: object) -> str:
    """Write a true cluster as text; empty where there is none, as NaN in a column of numbers."""
    text = "" if value is None or value != value else str(value).strip()
    febrl = _FEBRL.fullmatch(text)
    return febrl[1] if febrl else text


def _split(entry: str, columns: Iterable[str]) -> tuple[str, str]:
    """Return column and meaning of `--map column=meaning`; raises ImportFailed for what is none."""
    name, separator, meaning = entry.rpartition("=")
    if not separator:
        raise ImportFailed(f"--map {entry!r}: write column=meaning")
    if name not in columns:
        raise ImportFailed(
            f"--map {entry!r}: {name!r} is no column that may mean something, as are "
            f"{', '.join(columns)}"
        )
    known = {*SPACES, AGE, *known_columns.FIELD_OF}
    if known.isdisjoint((meaning, known_columns.spelling(meaning))):
        meanings = ", ".join([*FIELDS, "name", "suffix", *known_columns.DATE_PARTS, AGE, *SPACES])
        raise ImportFailed(f"--map {entry!r}: a column may mean {meanings}")
    return name, meaning
