"""Which of the product's languages an answer is in: what the caller asks for, or prefers."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from identity.words import LANGUAGES, Language


def preferred(header: str | None) -> Language:
    """Return the language that an Accept-Language header likes best (RFC 9110 12.5.4).

    English where it likes none of ours or cannot be read.
    """
    best, weight = LANGUAGES[0], 0.0
    for entry in (header or "").split(","):
        tag, _, parameter = entry.partition(";")
        try:
            quality = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        primary = tag.strip().lower().partition("-")[0]
        found = next((known for known in LANGUAGES if known == primary), None)
        if found is not None and quality > weight:
            best, weight = found, quality
    return best


def _chosen(
    request: Request,
    response: Response,
    language: Annotated[
        Language | None,
        Query(description="Of the words; else what `Accept-Language` prefers, else English."),
    ] = None,
) -> Language:
    chosen = language or preferred(request.headers.get("Accept-Language"))
    response.headers["Content-Language"] = chosen
    response.headers["Vary"] = "Accept-Language"
    return chosen


Chosen = Annotated[Language, Depends(_chosen)]
