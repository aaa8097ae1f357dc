"""Segment's consent object: `context.consent.categoryPreferences` on any event."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from consent.purposes import COMMON_CATEGORIES

#: The event by which a consent banner tells a new choice.
PREFERENCE_EVENT = "Segment Consent Preference Updated"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What one event says about consent.

    `readable` is false when there is a consent object that cannot be understood. Then every
    purpose counts as refused for that event, because the alternative is to guess in favour of
    the sender (research/consent.md 2.5). `whole` marks the answer of a consent banner: what it
    does not name and was given before is withdrawn, because a banner that lists only what is
    granted would otherwise never record a withdrawal.
    """

    given: frozenset[str]
    refused: frozenset[str]
    readable: bool = True
    whole: bool = False


ABSENT = Stamp(frozenset(), frozenset())
UNREADABLE = Stamp(frozenset(), frozenset(), readable=False)


def read(
    context: object,
    *,
    known: Collection[str],
    categories: Mapping[str, Collection[str]],
    snapshot: bool = False,
) -> Stamp:
    """Read the consent object of an event's context.

    `known` are the purposes of the catalogue, `categories` the source's own names for them. A
    purpose that two categories contradict each other about is refused. `snapshot` marks the
    preference event: there the object is the whole answer, and having none is unreadable.
    """
    if not isinstance(context, Mapping) or context.get("consent") is None:
        return UNREADABLE if snapshot else ABSENT
    consent = context["consent"]
    preferences = consent.get("categoryPreferences") if isinstance(consent, Mapping) else None
    if preferences is None and isinstance(consent, Mapping) and not snapshot:
        return ABSENT
    if not isinstance(preferences, Mapping):
        return UNREADABLE
    given: set[str] = set()
    refused: set[str] = set()
    for category, answer in preferences.items():
        if not isinstance(answer, bool):
            return UNREADABLE
        (given if answer else refused).update(purposes_of(str(category), known, categories))
    return Stamp(frozenset(given - refused), frozenset(refused), whole=snapshot)


def purposes_of(
    category: str, known: Collection[str], categories: Mapping[str, Collection[str]]
) -> set[str]:
    """Return the purposes that a category name stands for; an unknown name stands for none.

    >>> sorted(purposes_of("Marketing", {"marketing.email", "ads.share"}, {}))
    ['marketing.email']
    """
    if category in categories:
        return set(categories[category]) & set(known)
    common = set(COMMON_CATEGORIES.get(category.casefold(), ()))
    return (common | {category}) & set(known)
