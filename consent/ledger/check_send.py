"""Checks the proof of one send, offline: this file with `check.py` beside it, and `cryptography`.

    python check_send.py FILE --vkey KEY

The proof shows that a send was decided, for whom, and on whose consent: what the controller states
of itself is compared with what was signed, and with itself (GDPR art. 5(2), 7(1)).
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from consent.ledger.check import (
        LATE,
        MALFORMED,
        ProofInvalid,
        check,
        check_body,
        leaf_hash,
        number,
        proved,
        read_file,
        refused,
        root_of_path,
        time,
        unbase64,
    )
    from consent.ledger.check import main as check_entry
else:  # copied to another machine
    from check import (
        LATE,
        MALFORMED,
        ProofInvalid,
        check,
        check_body,
        leaf_hash,
        number,
        proved,
        read_file,
        refused,
        root_of_path,
        time,
        unbase64,
    )
    from check import main as check_entry

SEND = "parcours.send-proof/v1"  # the form of a proof of one send, with all that it rests on
AT_ONCE = timedelta(seconds=5)  # a refusal recorded so shortly before may have been on its way in
MINUTE = timedelta(minutes=1)  # to which an entry tells times
TOLD_BEFORE = "told_before"
BACK = ("release", "forget", "tell")  # intents that give a receiver nothing it had not
NEWS = ("segment.entered", "profile.updated")  # what leaves of before intents were told gave
BEST = 3  # as well as a record can be proved
Said = Mapping[str, Any]


def named(nonce: bytes, identifier: str) -> str:
    """Return how the leaf with this key names an identifier, written `namespace:value`."""
    return base64.b64encode(hmac.digest(nonce, identifier.encode(), "sha256")).decode()


def check_send(text: str, vkeys: Iterable[str]) -> dict[str, Any]:
    """Return what a proof of one send shows: the send, to whom, and the consent it rests on.

    It holds when the send is in a manifest in the log that was made within a day of the decision,
    and names the identifiers; the purpose is there, in force, with that lawful basis; and where
    this is consent, each record that it names is there, was given for the purpose by an identifier
    of the send, was on record and in force then, with its notice, and no version of the purpose
    that is shown had ended it. What takes back needs no consent, but that the receiver was told of
    this profile before is proved too. No refusal by an identifier of the send that is shown may
    have stood then. Whether there are others only the whole log says.
    Raises ProofInvalid.
    """
    given, keys = json.loads(text), list(vkeys)
    if given["format"] != SEND:
        raise ProofInvalid(f"this is no {SEND}")
    send, manifest, where = _in_manifest(given, keys)
    nonce = unbase64(send["nonce"])
    shown = {named(nonce, one) for one in given["identifiers"]}
    if not shown <= set(send["identifiers"]) or bool(shown) != bool(send["identifiers"]):
        raise ProofInvalid("the identifiers are not those that the send names")
    purpose = _purpose(send, check(given["purpose"], keys).entry)
    versions = [_version(send, check(one, keys).entry) for one in given.get("versions", ())]
    versions = [*versions, purpose]
    records = [_record(one, keys) for one in given["records"]]
    relied = _relied(send, [body for _, body in records])
    if send["reason"] == TOLD_BEFORE:
        _check_told_before(send, given["before"], keys)
    else:
        _check_basis(send, purpose, relied)
        for body in relied:
            _check_grant(send, versions, body)
        _check_refusals(send, versions, [body for _, body in records])
    entries = [entry for entry, body in records if body in relied]
    if any(time(entry["logged"]) > time(manifest["logged"]) + LATE for entry in entries):
        raise ProofInvalid("a record that the send names was logged long after the send")
    notices = _notices(given["notices"], keys, {e["notice"] for e in entries if "notice" in e})
    return {
        "send": send,
        "identifiers": given["identifiers"],
        "identifiers_not_shown": len(send["identifiers"]) - len(shown),
        "records": [body for _, body in records],
        "notices": notices,
        "manifest": manifest,
        "checkpoint": where,
    }


def _in_manifest(given: Said, vkeys: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return a send, the entry of the manifest that it is in, and where in the log that is."""
    found, leaf = check(given["manifest"], vkeys), str(given["leaf"])
    said, send = found.entry, json.loads(leaf)
    path = [unbase64(step) for step in given["path"]]
    if said["type"] != "decision_manifest" or unbase64(said["root"]) != root_of_path(
        leaf_hash(leaf.encode()), given["place"], number(said["sends"]), path
    ):
        raise ProofInvalid("the send is not in the manifest")
    if send["type"] != "send" or send["v"] not in ("1", "2"):
        raise ProofInvalid("this is no send of a known form")
    if (said["purpose"], said["destination"]) != (send["purpose"], send["destination"]["id"]):
        raise ProofInvalid("the manifest is of another purpose or destination")
    at, logged = time(send["decided_at"]), time(said["logged"])
    if not time(said["first"]) <= at < time(said["last"]) + MINUTE or at >= logged + MINUTE:
        raise ProofInvalid("the send was not decided when its manifest says")
    if logged > at + LATE:
        raise ProofInvalid("the manifest was logged long after the send")
    size, origin = found.checkpoint.size, found.checkpoint.origin
    return send, said, f"{size} entries of {origin}"


def _purpose(send: Said, entry: Said) -> dict[str, Any]:
    """Return the version of the purpose that a send names."""
    names = (entry["type"], entry.get("purpose"), entry["version"])
    content: dict[str, Any] = json.loads(entry["content"])
    wanted = ("purpose", send["purpose"], send["purpose_version"], send["lawful_basis"])
    if (*names, content["lawful_basis"]) != wanted:
        raise ProofInvalid("the purpose is not the one of the send")
    begins = content.get("effective_from")  # which earlier entries do not tell
    if begins and time(begins) > time(send["decided_at"]):
        raise ProofInvalid("the purpose was not in force then")
    return content


def _version(send: Said, entry: Said) -> dict[str, Any]:
    """Return an earlier version of the purpose that a send names."""
    if (entry["type"], entry.get("purpose")) != ("purpose", send["purpose"]):
        raise ProofInvalid("a version that is shown is of another purpose")
    content: dict[str, Any] = json.loads(entry["content"])
    if not int(entry["version"]) == content["version"] < int(send["purpose_version"]):
        raise ProofInvalid("a version that is shown is none of before the send")
    return content


def _record(one: Said, vkeys: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entry of a consent record and the record itself."""
    entry = check(one["proof"], vkeys).entry
    if entry["type"] != "consent":
        raise ProofInvalid("this is no consent record")
    body = check_body(entry, one["opening"])
    public = (entry["purpose"], entry["purpose_version"], entry["state"])
    if public != (body["purpose"], str(body["purpose_version"]), body["state"]):
        raise ProofInvalid("the record says something else than its entry")
    return entry, body


def _whose(send: Said, body: Said) -> str:
    """Return how the send would name who said this."""
    return named(unbase64(send["nonce"]), f"{body['namespace']}:{body['value']}")


def _relied(send: Said, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records that a send names, all of which must be shown."""
    relied = [body for body in records if body["id"] in send["records"]]
    if {body["id"] for body in relied} != set(send["records"]):
        raise ProofInvalid("a record that the send names is not shown")
    return relied


def _check_told_before(send: Said, before: Said, vkeys: Sequence[str]) -> None:
    """Demand that what is sent without consent takes back something that was sent with it."""
    back = send["intent"] in BACK if send["v"] != "1" else send["kind"] not in NEWS
    if not back or send["records"]:
        raise ProofInvalid("what the send gives its receiver rests on no consent")
    earlier, _, _ = _in_manifest(before, vkeys)
    same = ("purpose", "profile")
    if (
        earlier["reason"] == TOLD_BEFORE
        or [earlier[name] for name in same] != [send[name] for name in same]
        or earlier["destination"]["id"] != send["destination"]["id"]
        or time(earlier["decided_at"]) >= time(send["decided_at"])
    ):
        raise ProofInvalid("the receiver was not told of this profile before")


def _check_basis(send: Said, purpose: Said, relied: Collection[Said]) -> None:
    """Demand that a send rests on what its purpose does: where this is consent, on records."""
    basis = purpose["lawful_basis"]
    if basis != "consent":
        if send["reason"] != f"lawful_basis:{basis}":
            raise ProofInvalid("the reason of the send is not the lawful basis of its purpose")
        return
    if send["reason"] != "given" or not relied:
        raise ProofInvalid("the send names no consent")
    speakers = {_whose(send, body) for body in relied}
    if not speakers <= set(send["identifiers"]):
        raise ProofInvalid("a record is of somebody whom the send does not name")
    if purpose["mode"] == "per_identifier" and speakers != set(send["identifiers"]):
        raise ProofInvalid("an identifier of the send has not agreed, and each has to by itself")


def _check_grant(send: Said, versions: Sequence[Said], body: Said) -> None:
    """Demand that a record on which a send rests allowed it when it was decided."""
    at, name = time(send["decided_at"]), f"record {body['id']}"
    version, wanted = int(body["purpose_version"]), int(send["purpose_version"])
    if (body["state"], body["purpose"]) != ("given", send["purpose"]):
        raise ProofInvalid(f"{name} does not allow the purpose")
    if version > wanted or _renewed(versions, version, at):
        raise ProofInvalid(f"{name} is of another version of the purpose, or of one not shown")
    if not _of_that_kind(versions, body):
        raise ProofInvalid(f"{name} is no consent of the kind that the purpose asks for")
    if not _acts(body, at) or _lapsed(body, at):
        raise ProofInvalid(f"{name} was not in force then")


def _renewed(versions: Iterable[Said], since: int, at: datetime) -> bool:
    """Say whether a version in force by then ended the grants that were given for this one.

    It says that it renews, or covers what one whose grants count does not. Of a version that is not
    shown nobody knows what it covered.
    """
    counting = [one for one in versions if one["version"] == since]
    for version in sorted(versions, key=lambda one: int(one["version"])):
        begins = version.get("effective_from")
        if version["version"] <= since or (begins and time(begins) > at):
            continue
        if version.get("renews") or any(_wider(version, old) for old in counting):
            return True
        counting.append(version)
    return not counting or counting[0]["version"] != since


def _wider(new: Said, old: Said) -> bool:
    """Say whether a version covers more, by special categories or since it was not explicit."""
    more, less = (
        set((one.get("declared") or {}).get("special_categories") or ()) for one in (new, old)
    )
    return bool(more - less) or bool(new.get("explicit") and not old.get("explicit"))


def _of_that_kind(versions: Sequence[Said], body: Said) -> bool:
    """Say whether a grant is proved, and explicit where the purpose of the send asks for that."""
    carried = versions[-1].get("explicit") and body["evidence"].get("event_stamp")
    return not carried and body["evidence"].get("unproven") is not True


def _check_refusals(send: Said, versions: Sequence[Said], records: Iterable[Said]) -> None:
    """Demand that no refusal stood, of those who are named by the send and on record.

    What the same identifier granted later has ended it, if that is proved as well; so has, where
    the purpose says so, what an account granted later for all of its devices.
    """
    at = time(send["decided_at"])
    heard: dict[str, list[Said]] = {}
    for body in records:
        whose, given = _whose(send, body), body["state"] == "given"
        counts = _acts(body, at) if given else _on_record(body, at - AT_ONCE)
        if body["purpose"] == send["purpose"] and whose in send["identifiers"] and counts:
            heard.setdefault(whose, []).append(body)
    said = [(max(theirs, key=_order), _refusal(theirs, at)) for theirs in heard.values()]
    wide = [
        time(last["order_time"])
        for last, no in said
        if versions[-1]["mode"] == "latest_explicit" and no is None and last.get("account_wide")
        and not _lapsed(last, at) and _of_that_kind(versions, last)
        and not _renewed(versions, int(last["purpose_version"]), at)
    ]  # fmt: skip
    for last, no in said:
        if no is not None and all(time(last["order_time"]) >= since for since in wide):
            raise ProofInvalid(f"record {no['id']} had refused it before")


def _refusal(theirs: Sequence[Said], at: datetime) -> Said | None:
    """Return the refusal that stands of what one identifier said of a purpose; None: none does.

    One of a universal signal stands until a grant that overrides it, for as long as this counts.
    """
    refusals = sorted((one for one in theirs if one["state"] != "given"), key=_order, reverse=True)
    grants = [one for one in theirs if one["state"] == "given"]
    for no in refusals:
        since = time(no["order_time"])
        if not any(time(g["order_time"]) > since and _proof(g) >= _proof(no) for g in grants):
            return no
    for no in refusals:
        if no.get("universal") == "opt_out" and not any(
            grant.get("universal") == "override" and _proof(grant) == BEST
            and time(grant["order_time"]) > time(refusals[0]["order_time"])
            and not _lapsed(grant, at)
            for grant in grants
        ):  # fmt: skip
            return no
    return None


def _order(body: Said) -> tuple[datetime, bool, datetime, int]:
    """Return which of two records is the later: of equal times the refusal is."""
    times = time(body["order_time"]), time(body["recorded_at"])
    return times[0], body["state"] != "given", times[1], body["seq"]


def _proof(body: Said) -> int:
    """Return how well a record is proved, whatever it says of that itself.

    0: a grant that somebody collected who holds no proof; 1: what events carry along, or an
    importer states; 2: what a key that stands in every page says of a name; 3: all else.
    """
    evidence, page = body["evidence"], body["collected_by"].startswith("source:")
    if body["state"] == "given" and evidence.get("unproven") is True:
        return 0
    if evidence.get("event_stamp") is True or evidence.get("stated_by_importer") is not None:
        return 1
    named_by_page = page and body["namespace"] != "anonymous_id"
    claimed = evidence.get("claimed") is True
    return 2 if claimed or (named_by_page and evidence.get("server_side") is not True) else BEST


def _acts(grant: Said, at: datetime) -> bool:
    return _on_record(grant, at) and time(grant["effective_at"]) <= at


def _lapsed(grant: Said, at: datetime) -> bool:
    return bool(grant["valid_until"]) and time(grant["valid_until"]) <= at


def _on_record(body: Said, at: datetime) -> bool:
    return time(body["recorded_at"]) <= at


def _notices(shown: Iterable[Said], vkeys: Sequence[str], wanted: set[str]) -> list[dict[str, Any]]:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a file, of a send or of one entry, say what it proves, and return the exit status."""
    parser = argparse.ArgumentParser(description="Check the proof of a send, offline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--vkey", action="append", required=True, help="a public key of the log")
    parser.add_argument("--body", type=Path, help="the readable record of one entry")
    given = parser.parse_args(arguments)
    try:
        text = read_file(given.file)
        if not text.startswith("{"):
            return check_entry(arguments)
        found = check_send(text, given.vkey)
    except MALFORMED as error:
        return refused(error)
    send = found["send"]
    what = f"{send['message']} to {send['destination']['name']} for {send['purpose']}"
    return proved(f"send {what} at {send['decided_at']}, among {found['checkpoint']}", [found])


if __name__ == "__main__":
    sys.exit(main())
