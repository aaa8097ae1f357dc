"""What each level of readiness asks for, and whether it is there; pure."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.journeys.findings_answer import Evidence
from app.journeys.intervals import wilson
from app.journeys.readiness_answer import ChannelSeen, Criterion, Feed
from app.journeys.readiness_request import ReadinessQuery
from app.journeys.sentences import Between, Figure, Lasting, Share, sentence, shown

#: People who came to the outcome, and who did not, that a prediction learns from at least.
LEAST_LEARNT = 50
HOUR, DAY = 3_600.0, 86_400.0
#: A share of whole people in per cent is not told from another one beyond these.
MOST_DECIMALS = 12


class Facts(NamedTuple):
    """What was counted over the feeds; `covered` touchpoints are spoken of."""

    feeds: Sequence[Feed]
    channels: Sequence[ChannelSeen]
    events: int
    mapped: int
    profiles: int
    known: int
    several: int
    came: int
    left_out: int
    allowed: int
    covered: Collection[str] | None


class _Said(NamedTuple):
    """A criterion's words, with {value} and {wanted}, and where its figure is asked for."""

    name: str
    french: str
    english: str
    at: str
    path: str = "readiness"
    bucket: str | None = None


def reached(found: Sequence[Criterion]) -> int:
    """Return the highest level of which, and of all below it, every criterion is met."""
    level = 0
    while level < 5 and all(one.met for one in found if one.level == level + 1):
        level += 1
    return level


def criteria(query: ReadinessQuery, facts: Facts, as_of: datetime) -> Iterator[Criterion]:
    """Yield every criterion, by level."""
    alive = sum(not feed.silent for feed in facts.feeds)
    yield _count(query, as_of, 1, alive, 1, _Said(
        "feeds", "Sources vivantes : {value} (au moins {wanted})",
        "Sources that send: {value} (at least {wanted})", "/feeds",
    ))  # fmt: skip
    yield _share(query, as_of, 2, facts.mapped, facts.events, query.mapped_share, _Said(
        "mapped", "{value} des événements sont rattachés à la carte (au moins {wanted})",
        "{value} of events belong to the map (at least {wanted})", "/unmapped_share", "matrix",
    ))  # fmt: skip
    planned = [one for one in facts.channels if one.touchpoints]
    yield _share(query, as_of, 2, sum(one.status == "seen" for one in planned), len(planned), 1.0,
        _Said("channels", "{value} des canaux de la carte sont vus (au moins {wanted})",
              "{value} of the map’s channels are seen (at least {wanted})", "/channels"),
        interval=False,
    )  # fmt: skip
    yield _share(query, as_of, 3, facts.known, facts.profiles, query.known_share, _Said(
        "known", "{value} des personnes sont connues au-delà d’un appareil (au moins {wanted})",
        "{value} of people are known by more than a device (at least {wanted})", "/known",
        bucket="known:any",
    ))  # fmt: skip
    yield _count(query, as_of, 3, facts.several, query.least, _Said(
        "several_channels",
        "Personnes suivies sur plusieurs canaux : {value} (au moins {wanted})",
        "People followed over several channels: {value} (at least {wanted})", "/several",
    ))  # fmt: skip
    yield _share(query, as_of, 3, facts.allowed, facts.allowed + facts.left_out,
        query.consent_share,
        _Said("consent", "{value} des personnes permettent cet usage (au moins {wanted})",
              "{value} of people allow this use (at least {wanted})", "/allowed"),
    )  # fmt: skip
    yield from _measured(query, facts, as_of)
    yield from _predicted(query, facts, as_of)


def _measured(query: ReadinessQuery, facts: Facts, as_of: datetime) -> Iterator[Criterion]:
    late = [one.delay_p95 for one in facts.feeds if one.delay_p95 is not None]
    slowest = max(late, default=None)
    hours = None if slowest is None else Lasting(slowest / HOUR)
    yield _criterion(
        query, as_of, 4, hours, Lasting(query.prompt.total_seconds() / HOUR),
        _Said("prompt", "Événements reçus, 95 sur 100, en {value} (au plus {wanted})",
              "Events received, 95 of 100, within {value} (at most {wanted})", "/feeds"),
        met=slowest is not None and slowest <= query.prompt.total_seconds(),
    )  # fmt: skip
    # Without a survey there is nobody to ask: of no touchpoint anything is known.
    asked = facts.covered is not None
    seen = sum(one.observed for one in facts.channels) if asked else 0
    yield _share(query, as_of, 4, len(facts.covered or ()), seen, query.voice_share,
        _Said("voice", "{value} des points de contact vus ont des avis (au moins {wanted})",
              "{value} of the touchpoints that were seen are spoken of (at least {wanted})",
              *(("/surveys", "voice") if asked else ("/criteria", "readiness"))),
        interval=False,
    )  # fmt: skip


def _predicted(query: ReadinessQuery, facts: Facts, as_of: datetime) -> Iterator[Criterion]:
    first = min((one.first for one in facts.feeds), default=as_of)
    yield _count(query, as_of, 5, (as_of - first).days, int(query.history.total_seconds() / DAY),
        _Said("history", "Jours d’historique : {value} (au moins {wanted})",
              "Days of history: {value} (at least {wanted})", "/feeds"),
    )  # fmt: skip
    fewer = min(facts.came, facts.profiles - facts.came)
    yield _count(query, as_of, 5, fewer, LEAST_LEARNT, _Said(
        "outcomes", "Personnes qui aboutissent, ou non, le plus petit des deux : {value}"
        " (au moins {wanted})",
        "People who come through, or do not, whichever are fewer: {value} (at least {wanted})",
        "/came",
    ))  # fmt: skip
    target = int(query.journey is not None and query.journey.target is not None)
    yield _count(query, as_of, 5, target, 1, _Said(
        "target", "Parcours cibles : {value} (au moins {wanted})",
        "Target journeys: {value} (at least {wanted})", "/criteria",
    ))  # fmt: skip


def _count(
    query: ReadinessQuery, as_of: datetime, level: int, value: int, wanted: int, said: _Said
) -> Criterion:
    return _criterion(query, as_of, level, value, wanted, said, met=value >= wanted)


def _share(
    query: ReadinessQuery, as_of: datetime, level: int, k: int, n: int, wanted: float,
    said: _Said, *, interval: bool = True,
) -> Criterion:  # fmt: skip
    """Of nobody there is no share; an interval is that of people and events, not of the map."""
    share = k / n if n else None
    return _criterion(
        query, as_of, level, None if share is None else Share(share), Share(wanted), said,
        met=share is not None and share >= wanted,
        interval=wilson(k, n) if n and interval else None,
    )  # fmt: skip


def _criterion(
    query: ReadinessQuery, as_of: datetime, level: int, value: Figure | None, wanted: Figure,
    said: _Said, *, met: bool, interval: tuple[float, float] | None = None,
) -> Criterion:  # fmt: skip
    if not met:
        value, wanted = _apart(value, wanted)
    figures: dict[str, Figure] = {"wanted": wanted}
    french, english = said.french, said.english
    if value is None:
        french = french.replace("{value}", "…") + ", inconnu faute de données"
        english = english.replace("{value}", "…") + ", unknown for want of data"
    else:
        figures["value"] = value
    if interval is not None:
        figures["between"] = Between(Share(interval[0]), Share(interval[1]))
        french += " ; intervalle à 95 % : {between}"
        english += "; 95% interval: {between}"
    return Criterion(
        level=level,
        name=said.name,
        met=met,
        value=_plain(value),
        wanted=_plain(wanted) or 0.0,
        interval=interval,
        text=sentence(
            ("oui : " if met else "non : ") + french + ".",
            ("yes: " if met else "no: ") + english + ".",
            **figures,
        ),
        evidence=_evidence(query, as_of, said),
        bucket=said.bucket,
    )


def _apart(value: Figure | None, wanted: Figure) -> tuple[Figure | None, Figure]:
    """Return two figures with as many decimals as it takes to see that they differ."""
    if isinstance(value, Share | Lasting) and isinstance(wanted, Share | Lasting):
        for decimals in range(1, MOST_DECIMALS + 1):
            value, wanted = (one._replace(decimals=decimals) for one in (value, wanted))
            if shown(value, "en") != shown(wanted, "en"):
                break
    return value, wanted


def _plain(value: Any) -> float | None:
    if isinstance(value, Share | Lasting):
        value = value.value
    return None if value is None else float(value)


def _evidence(query: ReadinessQuery, as_of: datetime, said: _Said) -> Evidence:
    body: dict[str, Any] = {"purpose": query.purpose, "as_of": as_of.isoformat()}
    path, at = said.path, said.at
    if query.journey is not None:
        body["journey"] = query.called or query.journey.key
    elif path == "matrix":  # without a map there is no matrix to ask
        path, at = "readiness", "/mapped"
    own = query.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if path == "voice":
        body["surveys"] = own["surveys"]
    elif path == "readiness":
        body |= {k: v for k, v in own.items() if k not in ("journey", "called", "purpose")}
    return Evidence(path=f"/v1/analyses/{path}", request=body, definition_hash=None, at=at)
