"""The drift report, in data and in a plain sentence."""

from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from identity import words
from identity.drift import LEAST, Decile, Drift, drift
from identity.words import Language


def report(session: Session, language: Language) -> dict[str, Any]:
    """Return, by model, what was promised of pairs and what people decided; the latest first."""
    models = [{**asdict(one), "text": _text(one, language)} for one in drift(session)]
    nothing = words.say(language, "drift.nothing")
    return {"data": models, "text": models[0]["text"] if models else nothing}


def _text(found: Drift, language: Language) -> str:
    counts = {"decided": found.decided, "matches": found.matches, "wrong": found.wrong}
    if found.verdict == "thin":
        return words.say(language, "drift.thin", least=LEAST, **counts)
    if found.verdict == "holds":
        return words.say(language, "drift.holds", **counts)
    worst = max(found.deciles, key=_off)
    return words.say(
        language,
        f"drift.{worst.verdict}",
        **counts,
        promised=words.percent(language, worst.promised or 0.0),
        observed=words.percent(language, worst.observed or 0.0),
        n=worst.decided,
    )


def _off(decile: Decile) -> float:
    """Return how far a decile's promise lies from what was observed, if anything is concluded."""
    if decile.verdict not in ("optimistic", "pessimistic"):
        return -1.0
    return abs((decile.promised or 0.0) - (decile.observed or 0.0))
