"""Checks proofs of the consent ledger, offline: this file, Python 3.11 and `cryptography`.

It imports nothing else of the product, so that who receives a proof can copy it anywhere:

    python check.py FILE --vkey KEY

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

_time = datetime.fromisoformat
HEADER = "c2sp.org/tlog-proof@v1"
ED25519 = 1  # the signature type of a note
SEND = "parcours.send-proof/v1"  # the form of a proof of one send, with all that it rests on
AT_ONCE = timedelta(seconds=5)  # a refusal recorded so shortly before may have been on its way in
LATE = timedelta(days=1)  # longer than anything but a sealer that stands still keeps a record out
LARGEST = 1_000_000  # than any note or proof of ours, and small enough for anybody


class ProofInvalid(ValueError):
    """The proof does not hold."""


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


def named(nonce: bytes, identifier: str) -> str:
    """Return how the leaf with this key names an identifier, written `namespace:value`."""
    return base64.b64encode(hmac.digest(nonce, identifier.encode(), "sha256")).decode()


def check_send(text: str, vkeys: Iterable[str]) -> dict[str, Any]:
    """Return what a proof of one send shows: the send, to whom, and the consent it rests on.

    It holds when the send is in a manifest in the log and names the identifiers; the purpose is
    there with that lawful basis; and where this is consent, each record that it names is there,
    given for the purpose, on record and in force then, with its notice. No refusal that is shown
    may have come after. Whether there are others only the whole log says. Raises ProofInvalid.
    """
    given, keys = json.loads(text), list(vkeys)
    if given["format"] != SEND:
        raise ProofInvalid(f"this is no {SEND}")
    manifest, leaf = check(given["manifest"], keys), str(given["leaf"])
    said, send = manifest.entry, json.loads(leaf)
    path = [unbase64(step) for step in given["path"]]
    if said["type"] != "decision_manifest" or unbase64(said["root"]) != root_of_path(
        leaf_hash(leaf.encode()), given["place"], number(said["sends"]), path
    ):
        raise ProofInvalid("the send is not in the manifest")
    if (said["purpose"], said["destination"]) != (send["purpose"], send["destination"]["id"]):
        raise ProofInvalid("the manifest is of another purpose or destination")
    nonce = unbase64(send["nonce"])
    shown = {named(nonce, one) for one in given["identifiers"]}
    if not shown <= set(send["identifiers"]) or bool(shown) != bool(send["identifiers"]):
        raise ProofInvalid("the identifiers are not those that the send names")
    purpose = check(given["purpose"], keys).entry
    names = (purpose["type"], purpose["purpose"], purpose["version"])
    basis = json.loads(purpose["content"])["lawful_basis"]
    wanted = ("purpose", send["purpose"], send["purpose_version"], send["lawful_basis"])
    if (*names, basis) != wanted:
        raise ProofInvalid("the purpose is not the one of the send")
    records = [_record(one, keys) for one in given["records"]]
    _check_grants(send, [body for _, body in records])
    relied = [entry for entry, body in records if body["id"] in send["records"]]
    if any(_time(entry["logged"]) > _time(said["logged"]) + LATE for entry in relied):
        raise ProofInvalid("a record that the send names was logged long after the send")
    notices = _notices(given["notices"], keys, {e["notice"] for e in relied if "notice" in e})
    return {
        "send": send,
        "identifiers": given["identifiers"],
        "identifiers_not_shown": len(send["identifiers"]) - len(shown),
        "records": [body for _, body in records],
        "notices": notices,
        "manifest": said,
        "checkpoint": f"{manifest.checkpoint.size} entries of {manifest.checkpoint.origin}",
    }


def _record(one: dict[str, Any], vkeys: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entry of a consent record and the record itself."""
    entry = check(one["proof"], vkeys).entry
    if entry["type"] != "consent":
        raise ProofInvalid("this is no consent record")
    return entry, check_body(entry, one["opening"])


def _check_grants(send: dict[str, Any], records: Sequence[dict[str, Any]]) -> None:
    """Demand that the records that a send names allowed it when it was decided."""
    at = _time(send["decided_at"])
    relied = [body for body in records if body["id"] in send["records"]]
    if {body["id"] for body in relied} != set(send["records"]):
        raise ProofInvalid("a record that the send names is not shown")
    if send["lawful_basis"] == "consent" and send["reason"] != "told_before" and not relied:
        raise ProofInvalid("the send names no consent")
    for body in relied:
        end = _time(body["valid_until"]) if body["valid_until"] else None
        if (body["state"], body["purpose"]) != ("given", send["purpose"]):
            raise ProofInvalid(f"record {body['id']} does not allow the purpose")
        if max(_time(body["effective_at"]), _time(body["recorded_at"])) > at or (end and end <= at):
            raise ProofInvalid(f"record {body['id']} was not in force then")
        for other in records:
            if (
                other["state"] != "given"
                and (other["namespace"], other["value"]) == (body["namespace"], body["value"])
                and _time(other["order_time"]) >= _time(body["order_time"])
                and _time(other["recorded_at"]) + AT_ONCE <= at
            ):
                raise ProofInvalid(f"record {other['id']} had refused it before")


def _notices(
    shown: Iterable[dict[str, Any]], vkeys: Sequence[str], wanted: set[str]
) -> list[dict[str, Any]]:
    """Return the notices with their texts, among them all that are wanted by their hashes."""
    found = {}
    for one in shown:
        entry = check(one["proof"], vkeys).entry
        digest = hashlib.sha256(one["text"].encode()).hexdigest()
        if entry["type"] != "notice" or entry["sha256"] != digest:
            raise ProofInvalid("the text is not that of the notice")
        found[digest] = {**json.loads(entry["content"]), "text": one["text"]}
    if wanted - found.keys():
        raise ProofInvalid("a notice on which consent was given is not shown")
    return list(found.values())


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
        text = read_file(given.file)
        if text.startswith("{"):
            what, told = _told_of_send(check_send(text, given.vkey))
        else:
            what, told = _told_of_entry(check(text, given.vkey), given.body)
    except (ProofInvalid, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.stderr.write(f"NOT proved: {error}\n")
        return 1
    sys.stdout.write(f"proved: {what}\n")
    for one in told:
        sys.stdout.write(json.dumps(one, indent=2, ensure_ascii=False) + "\n")
    return 0


def _told_of_entry(found: Checked, body: Path | None) -> tuple[str, list[Any]]:
    records = [check_body(found.entry, read_file(body))] if body else []
    what = f"entry {found.index} of {found.checkpoint.size} in {found.checkpoint.origin}"
    for at in (record["recorded_at"] for record in records if "recorded_at" in record):
        if (waited := _time(found.entry["logged"]) - _time(at)) > LATE:
            what += f", logged {waited.days} days after the time that the record states"
    return what, [found.entry, *records]


def _told_of_send(found: dict[str, Any]) -> tuple[str, list[Any]]:
    send, where = found["send"], found["checkpoint"]
    said = f"{send['message']} to {send['destination']['name']} for {send['purpose']}"
    return f"send {said} at {send['decided_at']}, among {where}", [found]


if __name__ == "__main__":
    sys.exit(main())
