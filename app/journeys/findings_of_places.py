"""Reads answers about the places of a journey for what may be worth telling: each with its test."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from app.journeys.conformance_answer import ConformanceResult
from app.journeys.drop_off import DropOffResult
from app.journeys.findings_candidate import Candidate, Found, Names, above_limit, between, fact
from app.journeys.findings_request import FindingsQuery
from app.journeys.friction_answer import HIGH, FrictionComponent, FrictionPoint, FrictionResult
from app.journeys.matrix_answer import MatrixResult
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
            "À l’étape {stage}, {k} {k:personne|personnes} sur {n} {k:s’arrête|s’arrêtent}, soit"
            " {share}, contre {limit} admis",
            "At the stage {stage}, {k} of {n} people {k:leaves|leave}, which is {share}, where"
            " {limit} are accepted",
            {"stage": name("stages", stage.stage)},
            (stage.dropped, stage.moved + stage.dropped), query.threshold,
            f"/stages/{i}", stage.buckets.get("dropped"),
        )  # fmt: skip
    for i, place in enumerate(result.places):
        if place.stage not in seen[:-1]:
            continue
        yield above_limit(
            query, "place_drop_off", {"stage": place.stage, "touchpoint": place.touchpoint},
            "Après {point}, {k} {k:personne|personnes} sur {n} {k:s’arrête|s’arrêtent}, soit"
            " {share}, contre {limit} admis",
            "After {point}, {k} of {n} people {k:leaves|leave}, which is {share}, where {limit}"
            " are accepted",
            {"point": name("touchpoints", place.touchpoint)},
            (place.dropped, place.moved + place.dropped), result.place_limit,
            f"/places/{i}", place.bucket,
        )  # fmt: skip
    for i, move in enumerate(result.switches):
        yield above_limit(
            query, "losing_switch", {"from": move.source, "to": move.target},
            "De {source} vers {target}, {k} {k:personne|personnes} sur {n}"
            " {k:n’avance|n’avancent} plus à temps, une fois ou plus, soit {share}, contre {limit}"
            " admis",
            "From {source} to {target}, {k} of {n} people {k:comes|come} no further in time, once"
            " or more, which is {share}, where {limit} are accepted",
            {"source": name("channels", move.source), "target": name("channels", move.target)},
            (move.stalled_profiles, move.profiles), result.switch_profile_limit,
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
            french, english = FRICTIONS[one.name]
            k, n = _people([one])
            candidate = between(
                query, "friction", {"touchpoint": point.touchpoint, "component": one.name},
                "{point} a un score de friction de {score} sur 100 ; le plus lourd :"
                f" {french}, de {{k}} {{k:personne|personnes}} sur {{n}}, soit {{share}}, contre"
                " {reference} ({others}) aux autres points de contact, un écart de {difference}",
                "{point} has a friction score of {score} of 100; the heaviest part:"
                f" {english}, of {{k}} of {{n}} people, which is {{share}}, against {{reference}}"
                " ({others}) at the other touchpoints, a difference of {difference}",
                {"point": name("touchpoints", point.touchpoint), "score": float(point.score or 0),
                 "k": k},
                (k, n), _people(_elsewhere(result, point, one)), 1,
                f"/touchpoints/{i}/components/{j}", one.bucket or point.bucket,
            )  # fmt: skip
            heavy = one is worst and (point.score or 0) >= HIGH
            yield candidate and replace(candidate, notable=candidate.notable and heavy)
    for i, odd in enumerate(result.disagreements):
        at = next(p for p in result.touchpoints if p.touchpoint == odd.touchpoint)
        if at.profiles < query.least:
            yield None
            continue
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


def _elsewhere(
    result: FrictionResult, here: FrictionPoint, one: FrictionComponent
) -> Iterator[FrictionComponent]:
    """The same component at all other touchpoints."""
    for point in result.touchpoints:
        if point is not here:
            yield from (other for other in point.components if other.name == one.name)


def _people(components: Iterable[FrictionComponent]) -> tuple[int, int]:
    """How many people had a case, of how many; one who repeats counts once at a touchpoint."""
    counts = [(one.affected or 0, one.profiles or 0) for one in components]
    return sum(k for k, _ in counts), sum(n for _, n in counts)


def conformance(query: FindingsQuery, result: ConformanceResult) -> Found:
    """How many people differ from the target in one respect, on one way of theirs or more.

    Not how many ways: those of one person are alike, and no test may take them for so many.
    """
    name = Names(query)
    for i, one in enumerate(result.deviations):
        french, english = DEVIATIONS[one.kind]
        about = {"deviation": one.kind, "touchpoint": one.touchpoint}
        yield above_limit(
            query, "deviation", about | ({"to": one.to} if one.to else {}),
            f"{{point}} {french} chez {{k}} {{k:personne|personnes}} sur {{n}}, soit {{share}},"
            " contre {limit} admis",
            f"{{point}} {english}, with {{k}} of {{n}} people, which is {{share}}, where {{limit}}"
            " are accepted",
            {"point": name("touchpoints", one.touchpoint)},
            (one.profiles, result.profiles_compared), query.threshold, f"/deviations/{i}",
            one.bucket,
        )  # fmt: skip


def voice(query: FindingsQuery, result: VoiceResult) -> Found:
    """Touchpoints of which more people speak badly than of the others."""
    name = Names(query)
    for i, survey in enumerate(result.surveys):
        for j, one in enumerate(survey.touchpoints):
            others = sum(o.profiles for o in survey.touchpoints) - one.profiles
            low = sum(o.low_profiles for o in survey.touchpoints) - one.low_profiles
            yield between(
                query, "voice",
                {"touchpoint": one.touchpoint, "instrument": survey.instrument},
                "{point} reçoit de mauvaises notes de {share} de ceux qui répondent ({n}"
                " personnes), contre {reference} ailleurs ({others}), soit {difference}",
                "{point} gets bad scores from {share} of those who answer ({n} people), against"
                " {reference} elsewhere ({others}), which is {difference}",
                {"point": name("touchpoints", one.touchpoint)},
                (one.low_profiles, one.profiles), (low, others), 1,
                f"/surveys/{i}/touchpoints/{j}", one.buckets.get("low"),
            )  # fmt: skip


def matrix(query: FindingsQuery, result: MatrixResult) -> Found:
    """What was planned and never seen, seen and never planned; facts, where people were seen."""
    if query.journey is None or result.events < query.least:
        yield None
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
    if result.unmapped / result.events > query.threshold:
        yield fact(
            "unmapped_events", {},
            "{k} {k:événement|événements} sur {n} {k:n’est rattaché|ne sont rattachés} à aucun"
            " point de contact, soit {share}",
            "{k} of {n} events {k:belongs|belong} to no touchpoint, which is {share}",
            {}, (result.unmapped, result.events), "/unmapped_share", None,
        )  # fmt: skip
