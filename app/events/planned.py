"""Puts an event to the tracking plan of its source, between being read and being written."""

from functools import cached_property
from typing import Any

import msgspec
from msgspec import Raw

from app.events.body import values_of
from app.events.envelope import Envelope, Rejection, message_of
from app.plans.check import Plan, Verdict, Violation
from consent.signals.segment import PREFERENCE_EVENT
from identity import identifiers

#: The code of an event that its plan refuses.
CODE = "plan_violation"


def put(plan: Plan, envelope: Envelope) -> tuple[Envelope | Rejection, tuple[Violation, ...]]:
    """Return the event as its plan lets it in, or why it is refused, and how it differed.

    The answer of a consent banner is never put to a plan: a refusal counts, however it is worded.
    Never raises.
    """
    event = _Event(envelope)
    verdict = plan.check(event) if envelope.name != PREFERENCE_EVENT else None
    if verdict is None:
        return envelope, ()
    if verdict.rejected:
        why = f"plan {plan.key} version {plan.number}: {verdict.message}"
        where = tuple({"pointer": v.pointer, "detail": v.keyword} for v in verdict.violations)
        rejection = Rejection(CODE, why, envelope.message_id, message_of(envelope), where)
        return rejection, verdict.violations
    if verdict.properties is None and verdict.context is None:
        return envelope, verdict.violations
    return _without(event, verdict), verdict.violations


class _Event:
    """An event whose values are built only when its plan has a rule for them."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.type, self.name = envelope.type, envelope.name

    @cached_property
    def properties(self) -> dict[str, Any]:
        return dict(values_of(self.envelope.properties))

    @cached_property
    def context(self) -> dict[str, Any]:
        return dict(values_of(self.envelope.context))


def _without(event: _Event, verdict: Verdict) -> Envelope:
    """Return the event without what the plan takes out: its values, and who it said it was."""
    before = event.properties
    properties = before if verdict.properties is None else verdict.properties
    context = event.context if verdict.context is None else verdict.context
    if verdict.properties is not None and context.get("traits") == before:
        context = {**context, "traits": properties}  # the same traits in their second place
    gone = {
        (name, identifiers.normalise(name, before[name]))
        for name in ("email", "phone")
        if name in before and name not in properties
    } - _named(context)
    kept = tuple(i for i in event.envelope.identifiers if i not in gone)
    return msgspec.structs.replace(
        event.envelope,
        properties=Raw(msgspec.json.encode(properties)),
        context=Raw(msgspec.json.encode(context)),
        identifiers=kept,
    )


def _named(context: dict[str, Any]) -> set[tuple[str, str | None]]:
    """Return the identifiers that the context names itself, which no plan takes out."""
    external = context.get("externalIds")
    return {
        (
            identifiers.canonical_namespace(entry["type"]),
            identifiers.normalise(identifiers.canonical_namespace(entry["type"]), entry.get("id")),
        )
        for entry in (external if isinstance(external, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("type"), str)
    }
