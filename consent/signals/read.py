"""The one reader of all signals that an event carries: the most restrictive of them counts."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from consent.signals import iab, makers, segment
from consent.signals.meanings import Meanings
from consent.signals.stamp import ABSENT, UNIVERSAL, UNREADABLE, Rules, Signal, Stamp, combined

#: The raw signals of a record are kept with it up to this length; its event has them whole.
LONGEST_RAW = 4_096
#: Members of a context that say something about consent, beside `consent` itself.
BESIDE = (
    "consentManagement", "consents", "consentStrings", "gdpr_consent", "gpp", "gpp_sid",
    "us_privacy", "gpc",
)  # fmt: skip
#: Where what a Snowplow tracker says of consent stands beside them.
SNOWPLOW = "snowplow"
SNOWPLOW_EVENT = "consent_preferences"
NOTHING_BELOW: Mapping[str, Collection[str]] = {}


def read(
    words: bytes,
    beside: bytes = b"",
    *,
    known: Collection[str],
    categories: Mapping[str, Collection[str]],
    now: datetime,
    rules: Rules = Rules(),  # noqa: B008 -- frozen
    answer: bool = False,
    below: Mapping[str, Collection[str]] = NOTHING_BELOW,
    universal: frozenset[str] = frozenset(UNIVERSAL),
) -> Stamp:
    """Read what an event says about consent: `words` are its `context.consent`, as JSON.

    `beside` is an object of the other members (`BESIDE`, `SNOWPLOW`). `known` are the purposes of
    the catalogue, `categories` the source's own names for them. `answer` marks the event by which
    a banner tells a choice: having none is unreadable then. `below` are the purposes under one,
    which are refused with it unless something is said of them; `universal` those that a universal
    opt-out refuses. What is malformed or does not count
    makes the stamp unreadable, which refuses everything for that event. Never raises.
    """
    own, others = _members(words), _members(beside)
    meanings = Meanings(known, categories, universal)
    signals = [Signal("segment", problem="malformed")] if own is None or others is None else []
    own, others = own or {}, others or {}
    signals += _signals(own, others, meanings, rules, now)
    whole = answer
    if SNOWPLOW in others:
        said = makers.read_snowplow(others[SNOWPLOW], meanings)
        if said is not None:
            signals.append(said[0])
            answer, whole = True, said[1]
    if not signals:
        return UNREADABLE if answer else ABSENT
    stamp = combined(signals, answer=answer, whole=whole and rules.snapshot, raw=_raw(own, others))
    under = {key for refused in stamp.refused for key in below.get(refused, ())}
    if under:
        refused = stamp.refused | (under - stamp.given - stamp.opt_out)
        stamp = replace(stamp, refused=refused)
    if stamp.whole:  # what the source's banner asks and this answer does not name is refused
        silent = meanings.own - stamp.given - stamp.opt_out
        stamp = replace(stamp, refused=stamp.refused | silent)
    return stamp


def _members(text: bytes) -> dict[str, Any] | None:
    """Return the members of an object, none of nothing, or None where it is no object.

    Nor is one where a member stands twice, in any place: of two answers the last is not the answer.
    """
    try:
        found = msgspec.json.decode(text) if text else {}
        if found:
            json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None if found is not None else {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member stands twice")
    return found


def _signals(
    own: Mapping[str, Any],
    others: Mapping[str, Any],
    meanings: Meanings,
    rules: Rules,
    now: datetime,
) -> Iterator[Signal]:
    """Yield each signal; what stands in `consent` and beside it are two."""
    if own.get("categoryPreferences") is not None:
        yield segment.read(own["categoryPreferences"], meanings)
    found: list[Signal | None] = [
        makers.read_google(own.get("google"), meanings),
        makers.read_rudderstack(others.get("consentManagement"), meanings),
        makers.read_xdm(others.get("consents"), meanings),
        iab.read_tcf(own.get("tcf"), meanings, rules, now),
        iab.read_tcf(others.get("gdpr_consent"), meanings, rules, now),
    ]
    for place in (own, others):
        found.append(iab.read_gpc(place.get("gpc"), meanings))
        found.append(iab.read_us_privacy(place.get("us_privacy"), meanings))
        found += iab.read_gpp(place.get("gpp"), place.get("gpp_sid"), meanings, rules, now)
    found += _consent_strings(others.get("consentStrings"), meanings, rules, now)
    yield from (signal for signal in found if signal is not None)


def _consent_strings(
    value: object, meanings: Meanings, rules: Rules, now: datetime
) -> Iterator[Signal | None]:
    """Read Adobe's list of strings: `[{"consentStandard", "consentStringValue"}]`."""
    if value is None:
        return
    if not isinstance(value, list):
        yield Signal("xdm", problem="malformed")
        return
    for entry in value:
        found = entry if isinstance(entry, dict) else {}
        standard, string = found.get("consentStandard"), found.get("consentStringValue")
        if standard == "IAB TCF":
            said = {"string": string, "gdprApplies": found.get("gdprApplies")}
            yield iab.read_tcf(said, meanings, rules, now)
        elif standard == "IAB GPP":
            yield from iab.read_gpp(string, None, meanings, rules, now)
        else:
            yield Signal("xdm", problem="malformed")


def _raw(own: Mapping[str, Any], others: Mapping[str, Any]) -> str | None:
    """Return the signals beside Segment's own as they came, for the record that rests on them."""
    kept = {k: v for k, v in own.items() if k != "categoryPreferences"} | dict(others)
    if not kept:
        return None
    text = msgspec.json.encode(kept).decode()
    return text if len(text) <= LONGEST_RAW else None
