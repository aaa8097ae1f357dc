"""Segment's consent object: `context.consent.categoryPreferences` on any event."""

from collections.abc import Mapping

from consent.signals.meanings import Meanings
from consent.signals.stamp import UNKNOWN, Signal

#: The event by which a consent banner tells a new choice.
PREFERENCE_EVENT = "Segment Consent Preference Updated"


def read(preferences: object, meanings: Meanings) -> Signal:
    """Read the answers by category.

    A purpose that two categories contradict each other about is refused.
    """
    if not isinstance(preferences, Mapping):
        return Signal("segment", problem="malformed")
    if not all(isinstance(answer, bool) for answer in preferences.values()):
        return Signal("segment", problem="malformed")
    given = meanings.of(category for category, answer in preferences.items() if answer)
    refused = meanings.of(category for category, answer in preferences.items() if not answer)
    unknown = meanings.unknown(str(c) for c, answer in preferences.items() if not answer)
    return Signal("segment", given - refused, refused, notes=(UNKNOWN,) if unknown else ())
