"""Which purposes the names in a signal stand for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from consent.purposes import COMMON_CATEGORIES
from consent.signals.stamp import UNIVERSAL

#: Names that signals other than banner categories have for purposes, with a prefix, and ours
#: (research/consent.md 2.4). A source may give each another meaning, as it may to a category.
SIGNALS: dict[str, tuple[str, ...]] = {
    "tcf:1": ("device.storage",),
    "tcf:2": ("ads.basic",),
    "tcf:3": ("profile.ads",),
    "tcf:4": ("ads.personalised",),
    "tcf:5": ("profile.content",),
    "tcf:6": ("content.personalised",),
    "tcf:7": ("measure.ads",),
    "tcf:8": ("measure.content",),
    "tcf:9": ("analytics.audience",),
    "tcf:10": ("product.improve",),
    "tcf:11": ("content.basic",),
    "tcf:feature:1": ("geo.precise",),
    "tcf:feature:2": ("device.fingerprint",),
    "google:ad_storage": ("ads.basic",),
    "google:analytics_storage": ("analytics.audience",),
    "google:ad_user_data": ("ads.share",),
    "google:ad_personalization": ("ads.personalised",),
    "google:functionality_storage": ("device.storage",),
    "google:personalization_storage": ("content.personalised",),
    "google:security_storage": (),
    "xdm:collect": ("analytics.audience",),
    "xdm:share": ("ads.share",),
    "xdm:adID": ("ads.personalised",),
    "xdm:personalize.content": ("content.personalised",),
    "xdm:marketing.any": ("marketing.email", "marketing.sms"),
    "xdm:marketing.email": ("marketing.email",),
    "xdm:marketing.sms": ("marketing.sms",),
}
#: What a no to a name refuses beyond what a yes to it gives. "Any" marketing is more than the
#: channels named above: those that a catalogue has below `marketing` are refused with it.
REFUSALS: dict[str, tuple[str, ...]] = {"xdm:marketing.any": ("marketing",)}


@dataclass(frozen=True, slots=True)
class Meanings:
    """What signals mean to one source: `known` purposes, and its own names for them."""

    known: Collection[str]
    categories: Mapping[str, Collection[str]]
    #: What a universal opt-out refuses, also what is announced only.
    universal: frozenset[str] = frozenset(UNIVERSAL)

    def of(self, names: Iterable[object]) -> frozenset[str]:
        """Return the purposes that these names stand for; an unknown name stands for none."""
        return frozenset(
            key for name in names for key in purposes_of(str(name), self.known, self.categories)
        )

    def refused_by(self, names: Iterable[str]) -> frozenset[str]:
        """Return the purposes that a no to these names refuses; a source's own meaning is whole."""
        said = frozenset(names)
        wider = {key for name in said - set(self.categories) for key in REFUSALS.get(name, ())}
        return self.of(said) | (wider & set(self.known))

    def unknown(self, names: Iterable[str]) -> bool:
        """Say whether one of these names stands for nothing, so that a no to it refuses nothing."""
        return any(
            name not in self.categories
            and name not in SIGNALS
            and not purposes_of(name, self.known, {})
            for name in names
        )

    @property
    def own(self) -> frozenset[str]:
        """The purposes that the source's own names stand for."""
        return self.of(self.categories)


def purposes_of(
    name: str, known: Collection[str], categories: Mapping[str, Collection[str]]
) -> set[str]:
    """Return the purposes that one name stands for.

    >>> sorted(purposes_of("Marketing", {"marketing.email", "ads.share"}, {}))
    ['marketing.email']
    """
    if name in categories:
        return set(categories[name]) & set(known)
    common = SIGNALS.get(name) or COMMON_CATEGORIES.get(name.casefold(), ())
    return ({*common, name}) & set(known)
