"""Names of events that nobody has sent: most are typing mistakes (research/journeys.md §7, 36)."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from pydantic import BaseModel

from app.errors import DefinitionInvalid
from app.journeys.match import Match

#: How alike a name must be for being what was meant; between 0 and 1, difflib's ratio.
ALIKE = 0.75


def check(request: BaseModel, known: Collection[str]) -> list[str]:
    """Return a warning for each name of an event in a request that is in no event.

    Raises DefinitionInvalid where such a name, with one like it, stands below a `not`: there a
    mistake would fit every event.
    """
    warnings = []
    for name, negated in sorted(set(_names(request))):
        if name in known:
            continue
        near = get_close_matches(name, sorted(known), n=3, cutoff=ALIKE)
        meant = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
        if near and negated:
            raise DefinitionInvalid(f"no event is named {name!r}, so its negation fits all{meant}")
        warnings.append(f"no event is named {name!r}{meant}")
    return warnings


def _names(part: object, *, negated: bool = False) -> Iterator[tuple[str, bool]]:
    if isinstance(part, Match) and part.event is not None:
        yield part.event, negated
    if isinstance(part, BaseModel):
        for field in type(part).model_fields:
            turned = negated != (isinstance(part, Match) and field == "not_")
            yield from _names(getattr(part, field), negated=turned)
    elif isinstance(part, tuple):
        for item in part:
            yield from _names(item, negated=negated)
