"""Sends a batch, and lets people who have another address have the record that has it already.

A receiver that knows people by address refuses to give one record the address of another. Then the
person's record is that one from now on, as it would be had they never had another address; theirs
from before is taken back as when somebody leaves: emptied, or deleted.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from app.destinations import places
from app.destinations.jobs import Job
from app.destinations.kind import Kind, Outcome, Record, Setup
from app.destinations.wire import Wire

#: What an outcome says of who has another record now, and of who could not have it.
MOVED = "another record has the address: it is theirs now, and the one before is taken back"
STUCK = "another record has the address, and the one before could not be taken back"


class Miscounted(Exception):
    """A kind has returned more outcomes, or fewer, than it was given records."""


def send(kind: Kind, setup: Setup, jobs: Sequence[Job], wire: Wire) -> list[Outcome]:
    """Send a batch and return what became of each message, in their order."""
    sending = _Sending(kind, setup, wire)
    found = sending.first(jobs)
    mine = [job.record for job in jobs if job.record.message_id not in found]
    found |= sending.send(mine)
    found |= sending.moved([one for one in mine if found[one.message_id].another and one.remote])
    return [
        replace(found[message], left=tuple(sending.left[message]))
        for message in (job.record.message_id for job in jobs)
    ]


class _Sending:
    """One batch on its way."""

    def __init__(self, kind: Kind, setup: Setup, wire: Wire) -> None:
        self._kind, self._setup, self._wire = kind, setup, wire
        #: By message, records that were this person's and are emptied.
        self.left: dict[str, list[str]] = defaultdict(list)

    def send(self, records: Sequence[Record]) -> dict[str, Outcome]:
        """Send; of who withdrew or is forgotten, fields that are mapped no more are emptied too.

        Such a field may be gone there, or take nothing: it keeps nobody from being taken back. Of
        who only leaves a segment it stays: somebody may keep it by hand there since.
        """
        formerly = dict.fromkeys(self._setup.formerly)
        more = {r.message_id for r in records if r.intent == "forget" or r.withdrawn}
        found = self._sent(
            [
                replace(r, fields={**formerly, **r.fields}) if r.message_id in more else r
                for r in records
            ]
        )
        again = [
            record
            for record in records
            if formerly
            and record.message_id in more
            and found[record.message_id].state == "refused"
        ]
        for message, outcome in self._sent(again).items():
            taken = outcome.state == "taken"
            why = found[message].reason if taken else outcome.reason
            found[message] = replace(outcome, reason=why)
        return found

    def _sent(self, records: Sequence[Record]) -> dict[str, Outcome]:
        if not records:
            return {}
        outcomes = self._kind.send(self._setup, records, self._wire)
        if len(outcomes) != len(records):
            raise Miscounted(f"{len(outcomes)} outcomes of {len(records)} records")
        return {r.message_id: o for r, o in zip(records, outcomes, strict=True)}

    def first(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        """Take back other records of these people; return the outcomes of whom one stays."""
        stuck: dict[str, Outcome] = {}
        for n in range(max((len(job.first) for job in jobs), default=0)):
            some = [
                replace(job.first[n], message_id=job.record.message_id)
                for job in jobs
                if n < len(job.first) and job.record.message_id not in stuck
            ]
            stuck |= self._back(some)
        return stuck

    def moved(self, records: Sequence[Record]) -> dict[str, Outcome]:
        """Let these people have the record that has their address."""
        stuck = self._back([places.released(record) for record in records])
        found = {
            m: replace(o, reason=f"{STUCK}: {o.reason}"[:200], remote=None)
            for m, o in stuck.items()
        }
        rest = [replace(r, remote=None) for r in records if r.message_id not in stuck]
        for message, outcome in self.send(rest).items():
            taken = outcome.state == "taken"
            found[message] = replace(outcome, reason=MOVED) if taken else outcome
        return found

    def _back(self, records: Sequence[Record]) -> dict[str, Outcome]:
        """Take these records back; return the outcomes of those that were not."""
        outcomes = self.send(records)
        for record in records:
            outcome = outcomes[record.message_id]
            there = record.remote if outcome.remote is None else outcome.remote
            if outcome.state == "taken" and there:
                self.left[record.message_id].append(there)
        return {m: outcome for m, outcome in outcomes.items() if outcome.state != "taken"}
