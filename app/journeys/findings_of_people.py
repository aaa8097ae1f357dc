"""Reads answers about what becomes of people for what may be worth telling: each with its test."""

from datetime import date
from statistics import NormalDist

from app.journeys.anomalies import AnomaliesResult
from app.journeys.compare_answer import CompareResult
from app.journeys.drivers import DriversResult
from app.journeys.findings_candidate import Candidate, Found, Names, between
from app.journeys.findings_request import FindingsQuery
from app.journeys.intervals import wilson, z_of
from app.journeys.moments_of_truth import MomentsResult
from app.journeys.paths_answer import PathsResult
from app.journeys.paths_request import CUT
from app.journeys.sentences import Name, Points, Share, Way
from app.journeys.significance import Verdict, above


def moments(query: FindingsQuery, result: MomentsResult) -> Found:
    """Touchpoints after which good and bad visits end differently."""
    name = Names(query)
    for i, one in enumerate(result.moments):
        if one.p is None or one.interval is None or one.good.share is None or one.test is None:
            yield None
            continue
        low, high = one.interval
        bad = one.bad.k / one.bad.n
        yield Candidate(
            "moment_of_truth", {"touchpoint": one.touchpoint, "reading": str(one.reading)},
            "{point} est un moment de vérité : après une bonne expérience, {good} aboutissent"
            " ({n_good} personnes), après une mauvaise {share} ({n}), soit {difference}",
            "{point} is a moment of truth: after a good visit {good} come through"
            " ({n_good} people), after a bad one {share} ({n}), which is {difference}",
            {"point": name("touchpoints", one.touchpoint), "good": Share(one.good.share),
             "n_good": one.good.n, "share": Share(bad), "n": one.bad.n,
             "difference": Points(bad - one.good.share)},
            one.bad.n, one.bad.k, f"/moments/{i}", bad, one.good.share, bad - one.good.share,
            (-high, -low), Verdict(one.test, None, one.p),
            people=abs(bad - one.good.share) * one.bad.n,
            notable=bad < one.good.share, bucket=one.bad.bucket,
        )  # fmt: skip


def drivers(query: FindingsQuery, result: DriversResult) -> Found:
    """What goes with coming to the outcome, or with not coming to it."""
    yield from [None] * result.too_rare
    lost = {match.event for match in query.journey.lost} if query.journey else set()
    for i, one in enumerate(result.drivers):
        low, high = one.interval
        what = one.name if one.value is None else f"{one.name} = {one.value}"
        yield Candidate(
            "driver", {"feature": what},
            "Avec {what}, {share} aboutissent ({n} personnes), sans {reference} ({others}), soit"
            " {difference} ; cela va ensemble, ce n’est pas une cause",
            "With {what}, {share} come through ({n} people), without it {reference} ({others}),"
            " which is {difference}; it goes together and need not be a cause",
            {"what": Name(None, what), "share": Share(one.share_with), "n": one.n_with,
             "reference": Share(one.share_without), "others": one.n_without,
             "difference": Points(one.difference)},
            one.n_with, one.k_with, f"/drivers/{i}", one.share_with, one.share_without,
            one.difference, (low, high), Verdict(one.test, None, one.p),
            people=abs(one.difference) * one.n_with,
            notable=not one.leaks and one.name not in lost, bucket=one.bucket,
        )  # fmt: skip


def paths(query: FindingsQuery, result: PathsResult) -> Found:
    """The way that more of those who arrive take than any other."""
    if not result.variants:
        return
    # What is cut in the middle is no way: several may look so.
    whole = [(i, one) for i, one in enumerate(result.variants) if CUT not in one.route]
    if not whole:
        yield None
        return
    (at, first), *others = whole[:2]
    second = others[0][1].n if others else 0
    if first.n + second < query.least:
        yield None
        return
    name = Names(query)
    way = Way(tuple(name("touchpoints", one) for one in first.route))
    share = first.n / result.paths
    # The greater of the two was chosen by looking: either could have been.
    chosen = above(first.n, first.n + second, 0.5)
    next_french, next_english = (
        ("le suivant en compte {next}", "the next one has {next}")
        if others
        else ("il n’y en a pas d’autre", "there is no other")
    )
    yield Candidate(
        "winning_path", {f"{i + 1}": one for i, one in enumerate(first.route)},
        "Le parcours gagnant est {way} : {k} des {n} qui aboutissent le prennent, soit {share} ;"
        f" {next_french}",
        "The winning path is {way}: {k} of the {n} who come through take it, which is {share};"
        f" {next_english}",
        {"way": way, "k": first.n, "n": result.paths, "share": Share(share), "next": second},
        result.paths, first.n, f"/variants/{at}", share, second / result.paths,
        interval=wilson(first.n, result.paths),
        verdict=chosen._replace(p=min(1.0, 2 * chosen.p)), people=first.n - second,
        bucket=first.bucket,
    )  # fmt: skip


def compare(query: FindingsQuery, result: CompareResult) -> Found:
    """Whether more, or fewer, come through than in the period before."""
    before, now = result.alignments[0].outcomes["outcome"]
    yield between(
        query, "change", {"measure": "outcome"},
        "Depuis la période précédente, la part de ceux qui aboutissent passe de {reference}"
        " ({others} personnes) à {share} ({n}), soit {difference}",
        "Since the period before, the share of those who come through went from {reference}"
        " ({others} people) to {share} ({n}), which is {difference}",
        {}, (now.k, now.n), (before.k, before.n), 0,
        "/alignments/0/outcomes/outcome/1", now.bucket,
    )  # fmt: skip


def anomalies(_: FindingsQuery, result: AnomaliesResult) -> Found:
    """Days on which the outcome was not what it was to be."""
    reach = z_of(result.semantics.confidence)
    for i, one in enumerate(result.points):
        if one.expected is None or one.low is None or one.high is None:
            continue
        if one.status not in ("usual", "high", "low"):
            continue
        if one.expected < result.semantics.floor:
            yield None
            continue
        deviation = (one.high - one.expected) / reach
        p = 2 * NormalDist().cdf(-abs(one.value - one.expected) / deviation)
        yield Candidate(
            "anomaly", {"day": one.start, "direction": one.status},
            "Le {day}, le nombre de personnes qui aboutissent est de {k} au lieu de {expected}"
            " (attendu à {confidence} : {low} à {high})",
            "On {day}, the number of people who come through is {k} instead of {expected}"
            " (expected at {confidence}: {low} to {high})",
            {"day": date.fromisoformat(one.start), "k": int(one.value), "expected": one.expected,
             "confidence": Share(result.semantics.confidence), "low": one.low, "high": one.high},
            int(one.value), one.value, f"/points/{i}", reference=one.expected,
            difference=one.value - one.expected, interval=(one.low, one.high), said=True,
            verdict=Verdict("z, of the deviation from what was expected", None, p),
            people=abs(one.value - one.expected), notable=one.status != "usual",
            bucket=one.bucket,
        )  # fmt: skip
