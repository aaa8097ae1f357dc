"""Checks proofs of the consent ledger, offline: this file, Python 3.11 and `cryptography`.

It imports nothing else of the product, so that who receives a proof can copy it anywhere:

    python check.py FILE --vkey KEY

The proof of a send is checked by `check_send.py`, which needs this file beside it.

Hashes are those of RFC 6962 and RFC 9162 section 2.1, signatures those of C2SP signed-note, files
those of C2SP tlog-checkpoint and tlog-proof@v1. Base64 is taken in its one canonical form only, or
a flipped bit could hide in what a decoder ignores.
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

time = datetime.fromisoformat
HEADER = "c2sp.org/tlog-proof@v1"
ED25519 = 1  # the signature type of a note
LATE = timedelta(days=1)  # longer than anything but a sealer that stands still keeps a record out
LARGEST = 1_000_000  # than any note or proof of ours, and small enough for anybody


class ProofInvalid(ValueError):
    """The proof does not hold."""


#: What reading a file raises that is no proof.
MALFORMED = (ProofInvalid, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf (RFC 9162 section 2.1.1)."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees (RFC 9162 section 2.1.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162 section 2.1.3.2).

    Raises ProofInvalid when the path does not have the length that index and size demand.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"entry {index} is not within {size} entries")
    node, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise ProofInvalid("the path is too long")
        if node & 1 or node == last:
            found = node_hash(step, found)
            node, last = skip(node, last)
        else:
            found = node_hash(found, step)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofInvalid("the path is too short")
    return found


def skip(node: int, last: int) -> tuple[int, int]:
    """Go up to where a node has a left neighbour."""
    while not node & 1 and node:
        node, last = node >> 1, last >> 1
    return node, last


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key under its name, as a vkey writes it."""

    name: str
    key_id: bytes
    public: bytes

    @classmethod
    def of(cls, vkey: str) -> "Verifier":
        """Read `name+id+key`; raises ProofInvalid."""
        name, _, rest = vkey.strip().partition("+")
        stated, _, encoded = rest.partition("+")
        key = unbase64(encoded)
        if not name or len(key) != 33 or key[0] != ED25519:
            raise ProofInvalid("this is no vkey of an Ed25519 key")
        found = cls(name, key_id(name, key), key[1:])
        if stated != found.key_id.hex():
            raise ProofInvalid("the vkey does not have the id it states")
        return found

    def signed(self, text: str, signature: bytes) -> bool:
        """Say whether this key signed the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


def key_id(name: str, key: bytes) -> bytes:
    """Return the id of a key, given with its type in front (C2SP signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]


def unbase64(text: str) -> bytes:
    """Decode canonical Base64 (RFC 4648 section 4); raises ProofInvalid."""
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ProofInvalid("what should be Base64 is not") from error
    if base64.b64encode(found).decode() != text:
        raise ProofInvalid("Base64 is not in its canonical form")
    return found


def open_note(note: str, vkeys: Iterable[str]) -> str:
    """Return the text of a signed note, if one of the keys signed it and none of them wrongly.

    Signatures of other keys are ignored (C2SP signed-note). Raises ProofInvalid.
    """
    if len(note) > LARGEST or any(ord(sign) < 32 and sign != "\n" for sign in note):
        raise ProofInvalid("this is no signed note")
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise ProofInvalid("this is no signed note")
    text += "\n"
    known = {(v.name, v.key_id): v for v in map(Verifier.of, vkeys)}
    trusted = False
    for line in signatures[:-1].split("\n"):
        dash, name, encoded = [*line.split(" "), "", ""][:3]
        signature = unbase64(encoded)
        if dash != "—" or line != f"— {name} {encoded}" or len(signature) < 5:
            raise ProofInvalid("this is no signature line")
        verifier = known.get((name, signature[:4]))
        if verifier is None:
            continue
        if not verifier.signed(text, signature[4:]):
            raise ProofInvalid(f"the signature of {name} is wrong")
        trusted = True
    if not trusted:
        raise ProofInvalid("no known key signed this")
    return text


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log signed: so many entries, with this root."""

    origin: str
    size: int
    root: bytes


def read_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint (C2SP tlog-checkpoint); raises ProofInvalid."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise ProofInvalid("this is no checkpoint")
    root = unbase64(lines[2])
    if len(root) != 32:
        raise ProofInvalid("a root has 32 bytes")
    return Checkpoint(lines[0], number(lines[1]), root)


def open_checkpoint(note: str, vkeys: Iterable[str]) -> Checkpoint:
    """Read a checkpoint that a key of its own log signed; raises ProofInvalid."""
    origin = note.partition("\n")[0]
    return read_checkpoint(open_note(note, [v for v in vkeys if Verifier.of(v).name == origin]))


def number(text: str) -> int:
    """Read a decimal without leading zeros; raises ProofInvalid."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and str(int(text)) == text):
        raise ProofInvalid("this is no number")
    return int(text)


@dataclass(frozen=True, slots=True)
class Proof:
    """A tlog-proof: an entry, its place, and the way to a signed root."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    note: str

    def write(self) -> str:
        """Return the file (C2SP tlog-proof@v1); the entry stands in `extra`."""
        lines = [HEADER, f"extra {base64.b64encode(self.entry).decode()}", f"index {self.index}"]
        lines += [base64.b64encode(step).decode() for step in self.path]
        return "\n".join([*lines, "", self.note])

    @classmethod
    def read(cls, text: str) -> "Proof":
        """Read the file; raises ProofInvalid."""
        head, separator, note = text.partition("\n\n")
        lines = head.split("\n")
        if len(text) > LARGEST or not separator or len(lines) < 3 or lines[0] != HEADER:
            raise ProofInvalid(f"this is no {HEADER}")
        if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
            raise ProofInvalid("the proof lacks the entry or its index")
        path = tuple(map(unbase64, lines[3:]))
        if any(len(step) != 32 for step in path):
            raise ProofInvalid("a hash has 32 bytes")
        return cls(unbase64(lines[1][6:]), number(lines[2][6:]), path, note)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a proof proves: this entry is in the log that was signed like this."""

    index: int
    entry: dict[str, Any]
    checkpoint: Checkpoint


def check(text: str, vkeys: Iterable[str]) -> Checked:
    """Return what a proof proves; raises ProofInvalid when it proves nothing."""
    proof = Proof.read(text)
    checkpoint = open_checkpoint(proof.note, vkeys)
    found = root_of_path(leaf_hash(proof.entry), proof.index, checkpoint.size, proof.path)
    if found != checkpoint.root:
        raise ProofInvalid("the entry does not lead to the signed root")
    entry = json.loads(proof.entry)
    if entry.get("index") != str(proof.index):
        raise ProofInvalid("the entry says that it stands elsewhere")
    return Checked(proof.index, entry, checkpoint)


def check_body(entry: dict[str, Any], opening: str) -> dict[str, Any]:
    """Return the readable record behind an entry, given what opens its commitment.

    `opening` is JSON of `body` and `key`, as `parcours ledger prove --body` writes it. Raises
    ProofInvalid when the record is not the one that the entry commits to.
    """
    said = json.loads(opening)
    body: str = said["body"]
    mac = hmac.digest(unbase64(said["key"]), body.encode(), "sha256")
    if not hmac.compare_digest(unbase64(entry.get("body", "")), mac):
        raise ProofInvalid("the record is not the one that the entry commits to")
    found: dict[str, Any] = json.loads(body)
    return found


def read_file(path: Path) -> str:
    """Return a file's text; raises ProofInvalid for what is none."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProofInvalid(f"{path} cannot be read") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a file, say what it proves, and return the exit status."""
    parser = argparse.ArgumentParser(description="Check a proof of the consent ledger, offline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--vkey", action="append", required=True, help="a public key of the log")
    parser.add_argument("--body", type=Path, help="the readable record, to compare with the entry")
    given = parser.parse_args(arguments)
    try:
        what, told = _told_of(check(read_file(given.file), given.vkey), given.body)
    except MALFORMED as error:
        return refused(error)
    return proved(what, told)


def proved(what: str, told: Iterable[Any]) -> int:
    """Say what is proved; return the exit status."""
    sys.stdout.write(f"proved: {what}\n")
    for one in told:
        sys.stdout.write(json.dumps(one, indent=2, ensure_ascii=False) + "\n")
    return 0


def refused(error: Exception) -> int:
    """Say why nothing is proved; return the exit status."""
    sys.stderr.write(f"NOT proved: {error}\n")
    return 1


def _told_of(found: Checked, body: Path | None) -> tuple[str, list[Any]]:
    records = [check_body(found.entry, read_file(body))] if body else []
    what = f"entry {found.index} of {found.checkpoint.size} in {found.checkpoint.origin}"
    for at in (record["recorded_at"] for record in records if "recorded_at" in record):
        if (waited := time(found.entry["logged"]) - time(at)) > LATE:
            what += f", logged {waited.days} days after the time that the record states"
    return what, [found.entry, *records]


if __name__ == "__main__":
    sys.exit(main())
