"""The manifest of a bundle for auditors, and the check of one: without network or database.

A bundle is a folder. Its `MANIFEST` is a C2SP signed note that names every file with its SHA-256,
signed by the keys of the ledger. `ledger/leaves.txt` has the hash of each entry, so that the root
of every checkpoint is computed anew; from that follows that the ledger only grew.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from consent.ledger.check import (
    ProofInvalid,
    leaf_hash,
    open_checkpoint,
    open_note,
    read_file,
    unbase64,
)
from consent.ledger.note import Signer
from consent.ledger.tree import Running

MANIFEST = "MANIFEST"
#: No log is called this, so no manifest passes for a checkpoint.
HEADER = "parcours.audit-bundle/v1"
LEAVES, ENTRIES = "ledger/leaves.txt", "ledger/entries.jsonl"
CHECKPOINTS, KEYS = "ledger/checkpoints.json", "ledger/keys.json"
PURPOSES, NOTICES = "purposes.json", "notices.json"
LINE = re.compile(r"([0-9a-f]{64})  ([a-z0-9-]+(?:[./][a-z0-9-]+)*)")
#: What a bundle of others may do to who reads it.
UNREADABLE = (ProofInvalid, ValueError, LookupError, TypeError, AttributeError, OSError,
              RecursionError)  # fmt: skip


def manifest(files: Mapping[str, bytes], signers: Sequence[Signer], *, created: datetime) -> str:
    """Return the signed manifest of these files."""
    lines = [HEADER, f"created {created.isoformat()}"]
    lines += [f"{hashlib.sha256(files[name]).hexdigest()}  {name}" for name in sorted(files)]
    text = "\n".join(lines) + "\n"
    return text + "\n" + "".join(signer.line(text) for signer in signers)


@dataclass(slots=True)
class Checked:
    """What was found: the bundle is sound when there are no problems."""

    created: str = ""
    files: int = 0
    entries: int = 0
    shown: int = 0
    checkpoints: int = 0
    #: False: the bundle itself named the keys, so it is sound only if these are the right ones.
    keys_given: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check(folder: Path, *, vkeys: Sequence[str] = (), external: Iterable[str] = ()) -> Checked:
    """Check a bundle; `external` are checkpoints that were kept elsewhere.

    Without `vkeys` the keys that the bundle names are believed. Never raises for what is in it.
    """
    found = Checked(keys_given=bool(vkeys))
    try:
        named = [str(one["vkey"]) for one in json.loads(read_file(folder / KEYS))]
        trusted = list(vkeys) or named
        _check_files(folder, trusted, found)
        if found.sound:
            leaves = _check_ledger(folder, trusted, named, list(external), found)
            _check_catalogue(folder, _check_entries(folder, leaves, found), found)
    except UNREADABLE as error:
        found.problems.append(f"it cannot be read: {error}")
    return found


def _check_files(folder: Path, trusted: Sequence[str], found: Checked) -> None:
    """Demand that the folder holds what is signed, and nothing else."""
    lines = open_note(read_file(folder / MANIFEST), trusted).splitlines()
    if lines[0] != HEADER or not lines[1].startswith("created "):
        raise ProofInvalid(f"{MANIFEST} is none of a bundle")
    found.created = lines[1].removeprefix("created ")
    listed = dict[str, str]()
    for line in lines[2:]:
        said = LINE.fullmatch(line)
        if said is None or said[2] in listed:
            raise ProofInvalid(f"{MANIFEST} names no file in line {line[:80]!r}")
        listed[said[2]] = said[1]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    found.files = len(listed)
    for name in sorted(listed.keys() | (there - {MANIFEST})):
        path = folder / name
        if name not in listed:
            shown = name.encode("utf-8", "backslashreplace").decode()
            found.problems.append(f"{shown} is not in the manifest")
        elif name not in there or path.is_symlink() or not path.is_file():
            found.problems.append(f"{name} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != listed[name]:
            found.problems.append(f"{name} was changed")


def _check_ledger(
    folder: Path,
    trusted: Sequence[str],
    named: Sequence[str],
    external: Sequence[str],
    found: Checked,
) -> list[bytes]:
    """Compute the root of every checkpoint anew, the newest of which a trusted key must sign."""
    leaves = [unbase64(line) for line in read_lines(folder / LEAVES)]
    notes = [str(one["note"]) for one in json.loads((folder / CHECKPOINTS).read_text("utf-8"))]
    points = [open_checkpoint(note, [*trusted, *named]) for note in notes]
    found.entries, found.checkpoints = len(leaves), len(points)
    if points:
        newest = max(range(len(points)), key=lambda n: points[n].size)
        open_checkpoint(notes[newest], trusted)
    if max((point.size for point in points), default=0) != len(leaves):
        found.problems.append(f"{len(leaves)} entries are here, and another number was signed")
    points += [open_checkpoint(note, [*trusted, *named]) for note in external]
    running, wanted = Running(), {point.size for point in points}
    roots = {0: running.root()}
    for leaf in leaves:
        running.add(leaf)
        if running.size in wanted:
            roots[running.size] = running.root()
    for point in points:
        if roots.get(point.size) != point.root:
            found.problems.append(
                f"the entries do not lead to the checkpoint of {point.size} of {point.origin}"
            )
    return leaves


def _check_entries(
    folder: Path, leaves: Sequence[bytes], found: Checked
) -> dict[tuple[str, ...], dict[str, Any]]:
    """Demand that each entry that is shown has its hash, and return those of the catalogue."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in read_lines(folder / ENTRIES):
        shown = json.loads(line)
        index, text = shown["index"], str(shown["text"])
        if not 0 <= index < len(leaves) or leaf_hash(text.encode()) != leaves[index]:
            found.problems.append(f"entry {index} is not in the ledger")
            continue
        found.shown += 1
        entry = json.loads(text)
        kind = entry["type"]
        if kind in ("purpose", "notice"):
            known[kind, entry[kind], entry["version"], entry.get("language", "")] = entry
    return known


def _check_catalogue(
    folder: Path, known: Mapping[tuple[str, ...], dict[str, Any]], found: Checked
) -> None:
    """Demand that purposes and notices are those that the ledger holds."""
    purposes = json.loads((folder / PURPOSES).read_text("utf-8"))
    notices = json.loads((folder / NOTICES).read_text("utf-8"))
    told: dict[tuple[str, ...], dict[str, Any]]
    told = {("purpose", one["key"], str(one["version"]), ""): one for one in purposes}
    told |= {("notice", o["key"], str(o["version"]), o["language"]): o for o in notices}
    for name in sorted(told.keys() | known.keys()):
        one, entry = told.get(name), known.get(name)
        if one is None or entry is None:
            where = "the ledger" if entry is None else "the bundle"
            found.problems.append(f"{' '.join(name).strip()} is not in {where}")
            continue
        said = json.loads(entry["content"])
        same = all(one.get(member) == value for member, value in said.items())
        if name[0] == "notice":
            digest = hashlib.sha256(one["body"].encode()).hexdigest()
            same = same and digest == entry["sha256"]
        if not same:
            found.problems.append(f"{' '.join(name).strip()} is not as the ledger holds it")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file; the line feed alone ends one."""
    text = path.read_bytes().decode("utf-8")
    return text.removesuffix("\n").split("\n") if text else []


def leaves_file(leaves: Iterable[bytes]) -> bytes:
    """Return the file of the hashes of entries, in order."""
    return "".join(f"{base64.b64encode(leaf).decode()}\n" for leaf in leaves).encode()
