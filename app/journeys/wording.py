"""How a picture says what it shows: in a language, by the names that the map gives; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from app.journeys.definition import Journey
from app.journeys.sentences import Language, Share, number, shown, text

_SPACED, _CROSSED = " · ", " × "
#: Why people or events are not in an answer, as its `excluded` names it.
_REASONS = {
    "consent:refused": ("refused", "refus"),
    "consent:withdrawn": ("consent withdrawn", "consentement retiré"),
    "consent:unknown": ("never asked or never answered", "jamais demandé ou sans réponse"),
    "consent:expired": ("consent expired", "consentement expiré"),
    "consent:probable_link": ("joined by likeness alone", "rapprochés par ressemblance seule"),
}


@dataclass(frozen=True, slots=True)
class Wording:
    """A language, and the names of the parts of a map in it, by kind and identifier."""

    language: Language = "en"
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, journey: Journey | None, language: Language = "en") -> Self:
        """Return how the answers about a journey, or about none, are worded."""
        if journey is None:
            return cls(language)
        names: dict[str, dict[str, str]] = {
            "stage": {one.id: text(one.name, one.id, language) for one in journey.stages},
            "channel": {one.id: text(one.name, one.id, language) for one in journey.channels},
            "touchpoint": {one.id: text(one.name, one.id, language) for one in journey.touchpoints},
        }
        return cls(language, names)

    def say(self, english: str, french: str) -> str:
        """Return one of two texts."""
        return french if self.language == "fr" else english

    def number(self, value: float, decimals: int = 0) -> str:
        """Return a number as the language writes it."""
        return number(value, decimals, self.language)

    def counted(self, n: int, english: str, french: str) -> str:
        """Return a number of something: "person people" is one and several of it."""
        one, many = self.say(english, french).split()
        single = n < 2 if self.language == "fr" else n == 1
        return f"{self.number(n)} {one if single else many}"

    def share(self, part: float | None) -> str:
        """Return a share in per cent, nothing of nobody."""
        return "" if part is None else shown(Share(part), self.language)

    def score(self, instrument: str, value: float) -> str:
        """Return the figure of a survey as people write it: shares, a signed NPS, a mean."""
        if instrument in ("csat", "fcr"):
            return self.share(value)
        sign = "+" if value > 0 and instrument in ("nps", "sentiment") else ""
        return sign + self.number(value, 0 if instrument == "nps" else 2)

    def instrument(self, name: str) -> str:
        """Return what a survey is called."""
        return "sentiment" if name == "sentiment" else name.upper()

    def amount(self, value: float) -> str:
        """Return an amount without its cents, where it has a hundred or more."""
        return self.number(value, 0 if abs(value) >= 100 or float(value).is_integer() else 2)

    def lasting(self, seconds: float | None) -> str:
        """Return a time in its largest unit, nothing where it is not known."""
        if seconds is None:
            return ""
        for size, english, french in (
            (86_400, "d", "j"), (3_600, "h", "h"), (60, "min", "min"), (1, "s", "s")
        ):  # fmt: skip
            if seconds >= size or size == 1:
                rounded = round(seconds / size, 1)
                decimals = 0 if rounded >= 10 or rounded.is_integer() else 1
                return f"{self.number(rounded, decimals)} {self.say(english, french)}"
        return ""

    def moment(self, stated: str) -> str:
        """Return a time as people write it, to the minute."""
        at = datetime.fromisoformat(stated)
        return self.say(f"{at:%Y-%m-%d %H:%M} UTC", f"{at:%d/%m/%Y à %H:%M} UTC")

    def reason(self, why: str) -> str:
        """Return why something is not in an answer, in words."""
        plain = why.rpartition(":")[2].replace("_", " ")
        return self.say(*_REASONS.get(why, (plain, plain)))

    def name(self, kind: str, identifier: str) -> str:
        """Return what the map calls a stage, a channel or a touchpoint."""
        return self.names.get(kind, {}).get(identifier, identifier)

    def label(self, kinds: str, label: str | None) -> str:
        """Return what a label of paths is called; `kinds` is what labels are made of."""
        if label is None:
            return self.say("other", "autres")
        kind, parts = kinds.split(_SPACED), label.split(_SPACED)
        if len(kind) != len(parts):
            return label
        return _SPACED.join(map(self._called, kind, parts))

    def _called(self, kind: str, part: str) -> str:
        if kind != "stage_channel" or _CROSSED not in part:
            return self.name(kind, part)
        stage, channel = part.split(_CROSSED, 1)
        return f"{self.name('stage', stage)}{_CROSSED}{self.name('channel', channel)}"
