"""Reads answers about the places of a journey for what may be worth telling: each with its test."""

from app.journeys.conformance_answer import ConformanceResult
from app.journeys.drop_off import DropOffResult
from app.journeys.findings_candidate import Candidate, Found, Names, above_limit, between, fact
from app.journeys.findings_request import FindingsQuery
from app.journeys.friction_answer import HIGH, FrictionComponent, FrictionResult
from app.journeys.intervals import wilson
from app.journeys.matrix import MatrixResult
from app.journeys.sentences import Name, Share
from app.journeys.significance import above
from app.journeys.voice import VoiceResult

DEVIATIONS = {
    "skipped": ("est sauté", "is skipped"),
    "inserted": ("s’ajoute au parcours cible", "comes beside the target"),
    "forbidden": ("se produit, bien qu’interdit", "happens, though forbidden"),
    "repeated": ("se répète", "comes again"),
    "out_of_order": ("vient dans le désordre", "comes out of order"),
    "wrong_channel": ("se fait sur un autre canal", "is on another channel"),
    "late": ("est suivi trop tard", "is followed too late"),
}
FRICTIONS = {
    "abandonment": ("abandons", "abandonment"),
    "repetition": ("répétitions", "repetition"),
    "backtrack": ("retours en arrière", "going back"),
    "escalation": ("passages à un canal plus coûteux", "escalation to a costlier channel"),
    "failure": ("échecs", "failure"),
}


def drop_off(query: FindingsQuery, result: DropOffResult) -> Found:
    """Stages and places that too many leave, and changes of channel that lead nowhere."""
    name = Names(query)
    # Of the last stage at which anything can be seen nobody can be said to leave.
    points = query.journey.touchpoints if query.journey else ()
    seen = [one.stage for one in result.stages if one.stage in {point.stage for point in points}]
    for i, stage in enumerate(result.stages):
        if stage.stage not in seen[:-1]:
            continue
        yield above_limit(
            query, "stage_drop_off", {"stage": stage.stage},
            "À l’étape {stage}, {k} personnes sur {n} s’arrêtent, soit {share}, contre {limit}"
            " admis",
            "At the stage {stage}, {k} of {n} people leave, which is {share}, where {limit} are"
            " accepted",
            {"stage": name("stages", stage.stage)},
            (stage.dropped, stage.moved + stage.dropped), query.threshold,
            f"/stages/{i}", stage.buckets.get("dropped"),
        )  # fmt: skip
    for i, place in enumerate(result.places):
        if place.stage not in seen[:-1]:
            continue
        yield above_limit(
            query, "place_drop_off", {"stage": place.stage, "touchpoint": place.touchpoint},
            "Après {point}, {k} personnes sur {n} s’arrêtent, soit {share}, contre {limit} admis",
            "After {point}, {k} of {n} people leave, which is {share}, where {limit} are accepted",
            {"point": name("touchpoints", place.touchpoint)},
            (place.dropped, place.moved + place.dropped), result.place_limit,
            f"/places/{i}", place.bucket,
        )  # fmt: skip
    for i, move in enumerate(result.switches):
        yield above_limit(
            query, "losing_switch", {"from": move.source, "to": move.target},
            "De {source} vers {target}, {k} personnes sur {n} n’avancent plus à temps, soit"
            " {share}, contre {limit} admis",
            "From {source} to {target}, {k} of {n} people come no further in time, which is"
            " {share}, where {limit} are accepted",
            {"source": name("channels", move.source), "target": name("channels", move.target)},
            (move.stalled_profiles, move.profiles), result.switch_limit,
            f"/switches/{i}", move.bucket,
        )  # fmt: skip


def friction(query: FindingsQuery, result: FrictionResult) -> Found:
    """Touchpoints of much friction, by their worst rate; and where people say otherwise."""
    name = Names(query)
    for i, point in enumerate(result.touchpoints):
        rates = [(j, one) for j, one in enumerate(point.components) if one.name in FRICTIONS]
        if not rates:
            yield None
        worst = max(rates, key=lambda pair: (pair[1].points * pair[1].weight, pair[1].name),
                    default=(0, None))[1]  # fmt: skip
        for j, one in rates:
            # Each is a test; what is told of a touchpoint is the worst.
            yield _friction(
                point.touchpoint,
                name("touchpoints", point.touchpoint),
                point.score,
                one,
                f"/touchpoints/{i}/components/{j}",
                one.bucket or point.bucket,
                notable=one is worst and (point.score or 0) >= HIGH,
            )
    for i, odd in enumerate(result.disagreements):
        at = next(p for p in result.touchpoints if p.touchpoint == odd.touchpoint)
        said = {
            "enchantment": ("un enchantement", "an enchantment"),
            "irritant": ("un irritant", "an irritant"),
            "rupture": ("un point de rupture", "a breaking point"),
        }
        french, english = said.get(odd.declared, (odd.declared, odd.declared))
        yield Candidate(
            "disagreement", {"touchpoint": odd.touchpoint, "declared": odd.declared},
            f"La carte dit de {{point}} que c’est {french} ; son score de friction est {{score}}"
            " sur 100, sur {n} personnes",
            f"The map says of {{point}} that it is {english}; its friction scores {{score}} of 100,"
            " over {n} people",
            {"point": name("touchpoints", odd.touchpoint), "score": float(odd.score),
             "n": at.profiles},
            at.profiles, at.profiles, f"/disagreements/{i}", bucket=at.bucket,
        )  # fmt: skip


def _friction(
    point: str, name: Name, score: float | None, one: FrictionComponent, at: str,
    bucket: str, *, notable: bool,
) -> Candidate:  # fmt: skip
    k = round(one.observed * one.n)
    verdict = above(k, one.n, one.reference)
    french, english = FRICTIONS[one.name]
    return Candidate(
        "friction", {"touchpoint": point, "component": one.name},
        f"{{point}} a un score de friction de {{score}} sur 100 ; le plus lourd : {french},"
        " {k} cas sur {n}, soit {share}, contre {reference} aux autres points de contact",
        f"{{point}} has a friction score of {{score}} of 100; the heaviest part: {english},"
        " {k} of {n} cases, which is {share}, against {reference} at the other touchpoints",
        {"point": name, "score": float(score or 0), "k": k, "n": one.n,
         "share": Share(k / one.n), "reference": Share(one.reference)},
        one.n, k, at, k / one.n, one.reference, interval=wilson(k, one.n), verdict=verdict,
        people=k - one.reference * one.n, notable=notable, bucket=bucket,
    )  # fmt: skip


def conformance(query: FindingsQuery, result: ConformanceResult) -> Found:
    """How many ways differ from the target in one respect."""
    name = Names(query)
    for i, one in enumerate(result.deviations):
        french, english = DEVIATIONS[one.kind]
        about = {"deviation": one.kind, "touchpoint": one.touchpoint}
        yield above_limit(
            query, "deviation", about | ({"to": one.to} if one.to else {}),
            f"{{point}} {french} dans {{k}} parcours sur {{n}}, soit {{share}}, contre {{limit}}"
            " admis",
            f"{{point}} {english} on {{k}} of {{n}} ways, which is {{share}}, where {{limit}} are"
            " accepted",
            {"point": name("touchpoints", one.touchpoint)},
            (one.ways, result.compared), query.threshold, f"/deviations/{i}", one.bucket,
        )  # fmt: skip


def voice(query: FindingsQuery, result: VoiceResult) -> Found:
    """Touchpoints of which more people speak badly than of the others."""
    name = Names(query)
    for i, survey in enumerate(result.surveys):
        for j, one in enumerate(survey.touchpoints):
            others = sum(o.n for o in survey.touchpoints) - one.n
            low = sum(o.low for o in survey.touchpoints) - one.low
            yield between(
                query, "voice",
                {"touchpoint": one.touchpoint, "instrument": survey.instrument},
                "{point} reçoit {share} de mauvaises notes ({n} réponses), contre {reference}"
                " ailleurs ({others}), soit {difference}",
                "{point} gets {share} bad scores ({n} answers), against {reference} elsewhere"
                " ({others}), which is {difference}",
                {"point": name("touchpoints", one.touchpoint)},
                (one.low, one.n), (low, others), 1,
                f"/surveys/{i}/touchpoints/{j}", one.buckets.get("low"),
            )  # fmt: skip


def matrix(query: FindingsQuery, result: MatrixResult) -> Found:
    """What was planned and never seen, seen and never planned; facts, where people were seen."""
    if query.journey is None:
        return
    name = Names(query)
    stages = {stage.id: stage.profiles for stage in result.stages}
    with_points = {point.stage for point in query.journey.touchpoints}
    for i, stage in enumerate(result.stages):
        if stage.id not in with_points:
            yield Candidate(
                "stage_without_touchpoint", {"stage": stage.id},
                "L’étape {stage} n’a aucun point de contact : rien ne peut y être mesuré",
                "The stage {stage} has no touchpoint: nothing can be measured there",
                {"stage": name("stages", stage.id)}, result.profiles, 0, f"/stages/{i}",
            )  # fmt: skip
    for i, cell in enumerate(result.cells):
        about = {"stage": cell.stage, "channel": cell.channel}
        figures = {"stage": name("stages", cell.stage), "channel": name("channels", cell.channel)}
        n = stages[cell.stage]
        if cell.status == "planned_not_observed":
            if n < query.least:
                yield None
                continue
            yield fact(
                "planned_not_observed", about,
                "À l’étape {stage}, {channel} est prévu et jamais observé : {k} personne sur {n}",
                "At the stage {stage}, {channel} is planned and never observed: {k} of {n} people",
                figures, (0, n), f"/cells/{i}", cell.bucket,
            )  # fmt: skip
        if cell.status == "observed_not_planned":
            if cell.profiles < query.least:
                yield None
                continue
            yield fact(
                "observed_not_planned", about,
                "À l’étape {stage}, {channel} n’est pas prévu et sert à {k} personnes sur {n},"
                " soit {share}",
                "At the stage {stage}, {channel} is not planned and serves {k} of {n} people, which"
                " is {share}",
                figures, (cell.profiles, n), f"/cells/{i}", cell.bucket,
            )  # fmt: skip
    if result.events and result.unmapped / result.events > query.threshold:
        yield fact(
            "unmapped_events", {},
            "{k} événements sur {n} ne sont rattachés à aucun point de contact, soit {share}",
            "{k} of {n} events belong to no touchpoint, which is {share}",
            {}, (result.unmapped, result.events), "/unmapped_share", None,
        )  # fmt: skip
