"""Answers that are sentences, as lines of a console; pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.journeys.sentences import Language


def told(answer: Mapping[str, Any], language: Language) -> Iterator[str]:
    """Yield the lines of an answer: each sentence, and below it the request that it rests on."""
    result = answer["result"]
    yield result["summary"][language]
    for number, one in enumerate(result.get("findings") or result.get("criteria") or (), 1):
        evidence = one["evidence"]
        yield f"{number}. {one['text'][language]}"
        yield f"   POST {evidence['path']} {json.dumps(evidence['request'], ensure_ascii=False)}"
        yield f"   result{evidence['at']}"
    for one in result.get("looked", ()):
        if one["why_not"]:
            yield f"{one['analysis']}: {one['why_not'][language]}"
