"""Explains people in data and in words: why these two, why not, what holds one together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents import denials
from app.consents.permission import permissions
from app.profiles import read
from identity import explain, pairs, people, words
from identity.bars import Bar, Waterfall
from identity.errors import NothingCompared
from identity.holding import holding
from identity.words import Language

#: The record's fields that each comparison looks at.
FIELDS_OF = {"address": ("address", "house_number", "postcode", "city")}


def two(
    session: Session,
    left: str,
    right: str,
    *,
    merge: float,
    review: float,
    purpose: str | None,
    language: Language,
) -> dict[str, Any]:
    """Say why two references are one person, or why not.

    Values of records are shown for `purpose` profile.link alone, which they are kept for, and of
    who allows it; weights and degrees of agreement need no value. Raises ProfileNotFound.
    """
    found = _pair(session, left, right, merge=merge, review=review)
    names = _names(session, found)
    answer: dict[str, Any] = {
        "left": _side(session, found.left.id, names),
        "right": _side(session, found.right.id, names),
        "same_person": found.same,
        "path": explain.describe_links(session, found.path, language),
        "reasons": [_reason(reason, language) for reason in found.reasons],
        "comparison": None,
        "withheld": [],
    }
    sentences = [_verdict(found, names, language)]
    sentences += [link["text"] for link in answer["path"]]
    sentences += [reason["text"] for reason in answer["reasons"]]
    if found.compared is not None:
        ends = found.compared.left, found.compared.right
        values, withheld = shown_fields(session, found.fields, purpose)
        answer["withheld"] = withheld
        answer["comparison"] = {
            "records": [{"identifier": names[i], "fields": values.get(i)} for i in ends],
            **side_by_side(found.compared.waterfall, ends, values, language),
            "model_run": found.model_run,
            "blocking_rules": list(found.compared.rules),
            "stored": _stored(found),
        }
        sentences += in_words(found.compared.waterfall, language)
    return {**answer, "text": sentences}


def waterfall_of(
    session: Session, left: str, right: str, *, merge: float, review: float
) -> Waterfall:
    """Return the waterfall of two references; raises NothingCompared where there is none."""
    found = _pair(session, left, right, merge=merge, review=review)
    if found.compared is None:
        raise NothingCompared("there are no two records that may be compared")
    return found.compared.waterfall


def one(session: Session, person: int, language: Language) -> dict[str, Any]:
    """Say what holds a person together, which link is the weakest, and what would be without it."""
    found = holding(session, person)
    links = explain.links_of(session, found.weakest)
    ids = {i for part in found.parts for i in part}
    names = {r.id: f"{r.namespace}:{r.value}" for r in people.identifiers(session, ids)}
    if found.identifiers == 1:
        sentences = [words.say(language, "alone")]
    else:
        counts = {
            "identifiers": found.identifiers,
            "followed": found.followed,
            "held": found.held,
        }
        sentences = [words.say(language, "holds", **counts)]
    if found.dense:
        sentences.append(words.say(language, "dense"))
    if links:
        told = "; ".join(f"{link['left']} – {link['right']} ({words.kind(language, link['kind'])})"
                         for link in links)  # fmt: skip
        sentences.append(words.say(language, "weakest", count=len(links), links=told))
        sizes = " + ".join(str(len(part)) for part in found.parts)
        apart = len(found.parts) > 1
        sentences.append(
            words.say(language, "parts", count=len(found.parts), sizes=sizes)
            if apart
            else words.say(language, "stays")
        )
    return {
        "identifiers": found.identifiers,
        "followed": found.followed,
        "held": found.held,
        "weakest": {
            "kind": "bridge" if len(links) == 1 else "cut",
            "links": links,
            "parts": [[names[i] for i in part] for part in found.parts],
        }
        if links
        else None,
        "text": sentences,
    }


def side_by_side(
    fall: Waterfall,
    ends: tuple[int, int],
    values: Mapping[int, Mapping[str, str]],
    language: Language,
) -> dict[str, Any]:
    """Return a waterfall with the values of both records beside each bar, where they are shown."""
    return {
        "match_weight": fall.weight,
        "probability": fall.probability,
        "weights": [
            {
                "comparison": bar.name,
                "level": bar.level,
                "weight": bar.weight,
                "start": bar.start,
                "end": bar.end,
                "left": _value(values.get(ends[0]), bar),
                "right": _value(values.get(ends[1]), bar),
                "text": bar_in_words(bar, language),
            }
            for bar in fall.bars
        ],
    }


def in_words(fall: Waterfall, language: Language) -> list[str]:
    """Return a waterfall as sentences, the sum last."""
    total = words.say(
        language,
        "sum",
        weight=words.number(language, fall.weight, sign=True),
        probability=words.percent(language, fall.probability),
    )
    return [*(bar_in_words(bar, language) for bar in fall.bars), total]


def bar_in_words(bar: Bar, language: Language) -> str:
    """Return one step of a waterfall as a sentence."""
    said = {
        "name": words.name(language, bar.name),
        "weight": words.number(language, bar.weight, sign=True),
    }
    if bar.level is None:
        return words.say(language, "bar.plain", **said)
    return words.say(language, "bar", level=words.level(language, bar.level), **said)


def shown_fields(
    session: Session, fields: Mapping[int, Mapping[str, str]], purpose: str | None
) -> tuple[dict[int, dict[str, str]], list[dict[str, Any]]]:
    """Return the records that may be shown for a stated purpose, and what was withheld and why.

    Records are kept for profile.link, and are shown for nothing else.
    """
    if not fields:
        return {}, []
    if purpose != consent.LINK:
        reason = "purpose_not_stated" if purpose is None else "purpose_limitation"
        return {}, [{"what": "values", "reason": reason, "identifiers": len(fields)}]
    persons = set(people.people_of(session, fields.keys()).values())
    decisions = {p.identifier_id: p for p in permissions(session, consent.LINK, persons)}
    shown, denied = {}, dict[int, str]()
    for i, record in fields.items():
        decision = decisions.get(i)
        if decision is not None and decision.allowed:
            shown[i] = dict(record)
        else:
            denied[i] = decision.reason if decision else "unknown"
    denials.note(session, "read", consent.LINK, denied, at=datetime.now(UTC))
    return shown, [
        {"what": "values", "reason": why, "identifiers": count}
        for why, count in sorted(Counter(denied.values()).items())
    ]


def _pair(session: Session, left: str, right: str, *, merge: float, review: float) -> pairs.Pair:
    one_, other = (read.find(session, reference).acting_id for reference in (left, right))
    return pairs.explain(session, one_, other, merge=merge, review=review)


def _names(session: Session, found: pairs.Pair) -> dict[int, str]:
    ids = {found.left.id, found.right.id}
    if found.compared is not None:
        ids |= {found.compared.left, found.compared.right}
    rows: Iterable[sa.Row[int, str, str]] = people.identifiers(session, ids)
    return {r.id: f"{r.namespace}:{r.value}" for r in rows}


def _side(session: Session, identifier: int, names: Mapping[int, str]) -> dict[str, Any]:
    person = people.people_of(session, [identifier])[identifier]
    profile = people.profile_ids(session, [person])[person]
    return {"identifier": names[identifier], "profile_id": str(profile)}


def _verdict(found: pairs.Pair, names: Mapping[int, str], language: Language) -> str:
    said = {"left": names[found.left.id], "right": names[found.right.id]}
    if found.left.id == found.right.id:
        return words.say(language, "itself", **said)
    if found.same:
        return words.say(language, "same", count=len(found.path), **said)
    return words.say(language, "apart", **said)


def _reason(reason: pairs.Reason, language: Language) -> dict[str, Any]:
    """Return a reason as data and as a sentence."""
    about = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in reason.about.items()}
    said: dict[str, Any] = dict(about)
    if "at" in about:
        said["day"] = str(about["at"])[:10]
    if "kind" in about:
        said["kind"] = words.kind(language, str(about["kind"]))
    if "guard" in about:
        said["guard"] = words.guard(language, str(about["guard"]))
    for share in ("probability", "threshold"):
        if share in about:
            said[share] = words.percent(language, float(about[share]))
    return {"code": reason.code, **about, "text": words.say(language, reason.code, **said)}


def _stored(found: pairs.Pair) -> dict[str, Any] | None:
    """Return what was weighed when the pair was linked or queued; today's weights may differ."""
    stored = found.stored
    if stored is None:
        return None
    evidence: Sequence[tuple[str, float]] = sorted(stored.evidence.items())
    return {
        "match_weight": stored.weight,
        "probability": stored.probability,
        "weights": dict(evidence),
    }


def _value(record: Mapping[str, str] | None, bar: Bar) -> str | None:
    """Return what a record says of a compared trait, if the record may be shown."""
    if record is None:
        return None
    said = [record[name] for name in FIELDS_OF.get(bar.name, (bar.name,)) if record.get(name)]
    return ", ".join(said) or None
