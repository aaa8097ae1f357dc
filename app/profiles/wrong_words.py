"""What is said of a definition that is not one, in the words of who wrote it."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

#: What other products call our operators and conditions.
ELSEWHERE = {
    "op": ("operator", "comparison"),
    "eq": ("=", "==", "is", "equals", "equal", "equal_to"),
    "ne": ("!=", "<>", "is_not", "not_equals", "not_equal", "not_equal_to"),
    "gt": (">", "greater_than", "more_than", "after"),
    "gte": (">=", "greater_than_or_equal", "at_least", "min"),
    "lt": ("<", "less_than", "before"),
    "lte": ("<=", "less_than_or_equal", "at_most", "max"),
    "in": ("one_of", "any_of", "is_one_of"),
    "contains": ("includes", "like", "ilike", "substring"),
    "exists": ("is_set", "is_not_null", "present", "defined"),
    "within_days": ("in_last_days", "within_last", "last_days", "newer_than_days"),
    "older_than_days": ("before_days", "more_than_days_ago"),
    "all": ("and", "AND", "every", "must"),
    "any": ("or", "OR", "some", "should"),
    "not": ("NOT", "none", "must_not"),
    "trait": ("property", "attribute", "field", "user_property"),
    "prop": ("property", "attribute", "field", "key", "name"),
    "computed": ("computed_trait",),
    "segment": ("audience", "cohort", "list"),
    "value": ("values",),
    "where": ("filters", "properties", "conditions"),
    "count": ("times", "frequency"),
}
_OURS = {word: [our for our, words in ELSEWHERE.items() if word in words]
         for words in ELSEWHERE.values() for word in words}  # fmt: skip


def meant(words: Iterable[Any], known: Iterable[str]) -> str:
    """Return which of the known words these may have been, as a question; empty where none."""
    usable = list(known)
    found: list[str] = []
    for word in (one for one in words if isinstance(one, str) and len(one) <= 100):
        mine = [our for our in _OURS.get(word, ()) if our in usable]
        found += mine or get_close_matches(word, usable, n=3, cutoff=0.7)
    return f"; did you mean {', '.join(dict.fromkeys(found))}?" if found else ""


def said(error: Any) -> str:
    """Return one sentence of an error of pydantic's, which knows nothing of JSON."""
    kind, message = error["type"], str(error["msg"]).removeprefix("Value error, ")
    given, context = error["input"], error.get("ctx", {})
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(context.get("expected")))
        return message + meant([given], known)
    if kind == "unknown_condition":
        known = message.partition(": ")[2].split(", ")
        return message + meant(given if isinstance(given, dict) else [], known)
    if kind in ("tuple_type", "list_type"):
        return "takes a list: [...]"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "takes an object: {...}"
    if kind in ("too_short", "too_long") and context.get("field_type") in ("Tuple", "List"):
        bound = "min_length" if kind == "too_short" else "max_length"
        most = "at least" if kind == "too_short" else "at most"
        return f"takes {most} {context[bound]}, and there are {context['actual_length']}"
    if kind == "extra_forbidden":
        word = error["loc"][-1]
        return "is not known here" + meant([word], [one for one in ELSEWHERE if one != word])
    return message
