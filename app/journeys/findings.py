"""Plain-language findings: what the other analyses say that is worth knowing (CustUp, Genesys).

Every analysis is asked as anybody could ask it, by the request that the finding then quotes.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
from pydantic import ValidationError

from app.errors import DefinitionInvalid
from app.journeys import anomalies as anomaly
from app.journeys import compare as comparison
from app.journeys import conformance as conforming
from app.journeys import drivers as driving
from app.journeys import drop_off as dropping
from app.journeys import findings_of_people as of_people
from app.journeys import findings_of_places as of_places
from app.journeys import friction as frictions
from app.journeys import matrix as matrices
from app.journeys import moments_of_truth as moment
from app.journeys import paths as ways
from app.journeys import voice as voices
from app.journeys.asked import ConformanceIn, MatrixIn, PathsIn
from app.journeys.asked_over_time import AnomaliesIn, DriversIn
from app.journeys.asked_places import CompareIn, DropOffIn, FrictionIn, MomentsIn, VoiceIn
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import definition_hash
from app.journeys.findings_answer import (
    Evidence,
    Finding,
    FindingsResult,
    FindingsSemantics,
    Looked,
)
from app.journeys.findings_candidate import Candidate, Found
from app.journeys.findings_questions import questions
from app.journeys.findings_request import FindingsQuery
from app.journeys.labels import LocalizedText
from app.journeys.sentences import Between, Figure, Points, Probability, Share, sentence
from app.journeys.significance import discoveries


class Source(NamedTuple):
    """An analysis to look through: how it is asked, computed, opened and read."""

    form: Any
    compute: Callable[..., Any]
    people: Callable[..., list[int]]
    read: Callable[[FindingsQuery, Any], Found]


SOURCES: dict[str, Source] = {
    "drop-off": Source(DropOffIn, dropping.drop_off, dropping.people, of_places.drop_off),
    "friction": Source(FrictionIn, frictions.friction, frictions.people, of_places.friction),
    "moments-of-truth": Source(
        MomentsIn, moment.moments_of_truth, moment.people, of_people.moments
    ),
    "conformance": Source(
        ConformanceIn, conforming.conformance, conforming.people, of_places.conformance
    ),
    "voice": Source(VoiceIn, voices.voice, voices.people, of_places.voice),
    "drivers": Source(DriversIn, driving.drivers, driving.people, of_people.drivers),
    "paths": Source(PathsIn, ways.paths, ways.people, of_people.paths),
    "compare": Source(CompareIn, comparison.compare, comparison.people, of_people.compare),
    "anomalies": Source(AnomaliesIn, anomaly.anomalies, anomaly.people, of_people.anomalies),
    "matrix": Source(
        MatrixIn,
        lambda c, r, *, as_of: matrices.matrix(c, r.journey, as_of=as_of, range=r.range),
        matrices.people,
        of_places.matrix,
    ),
}


class _Read(NamedTuple):
    """One analysis that was asked: what it was, and what may be told of it."""

    analysis: str
    evidence: Evidence
    candidates: list[Candidate]
    too_few: int


def findings(
    connection: duckdb.DuckDBPyConnection, query: FindingsQuery, *, as_of: datetime
) -> FindingsResult:
    """Look through all analyses over the view `event`. Read-only.

    Raises DefinitionInvalid for what one of them would refuse of whatever events; one that cannot
    answer of those there are, as of a range too long for its intervals, says `why_not`.
    """
    asked = questions(query, as_of)
    read = []
    for analysis, said in asked.items():
        if isinstance(said, dict):
            found_by = _read(connection, query, analysis, said, as_of)
            if isinstance(found_by, _Read):
                read.append(found_by)
            else:
                asked[analysis] = found_by
    tested = [(one, c) for one in read for c in one.candidates if c.verdict is not None]
    qs = discoveries([c.verdict.p for _, c in tested if c.verdict is not None])
    told = [
        _finding(one, candidate, q)
        for (one, candidate), q in zip(tested, qs, strict=True)
        if candidate.notable and q < query.level
    ]
    told += [_finding(one, c, None) for one in read for c in one.candidates if c.verdict is None]
    listed = tuple(_weightiest(told, query.each))
    too_few = sum(one.too_few for one in read)
    found = Counter(one.evidence.path for one in told)
    looked = {one.analysis: one for one in read}
    return FindingsResult(
        semantics=_semantics(query),
        summary=_summary(query, len(told), len(listed), len(tested), too_few),
        findings=listed,
        found=len(told),
        tested=len(tested),
        too_few=too_few,
        looked=tuple(_looked(name, said, looked.get(name), found) for name, said in asked.items()),
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: FindingsQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a finding: `of:[analysis,bucket]`, with a bucket of that analysis.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    asked = questions(query, as_of)
    said = asked.get(place[0]) if kind == "of" and len(place) == 2 else None
    if not isinstance(said, dict) or not isinstance(place[1], str):
        raise unknown(number, "of:[analysis,bucket]")
    source = SOURCES[place[0]]
    question = _question(source, query, said)
    return source.people(connection, question, as_of=as_of, number=place[1])


def _question(source: Source, query: FindingsQuery, said: dict[str, Any]) -> Any:
    """Return the question of a request; raises DefinitionInvalid for what it does not bear."""
    try:
        return source.form.model_validate(said).question(query.journey)
    except ValidationError as error:
        raise DefinitionInvalid(str(error.errors()[0]["msg"])) from None


def _read(
    connection: duckdb.DuckDBPyConnection,
    query: FindingsQuery,
    analysis: str,
    said: dict[str, Any],
    as_of: datetime,
) -> _Read | LocalizedText:
    """Return what an analysis tells, or why it tells nothing of the events that there are."""
    source = SOURCES[analysis]
    question = _question(source, query, said)
    try:
        result = source.compute(connection, question, as_of=as_of)
    except DefinitionInvalid as error:
        return LocalizedText(fr=f"l’analyse est refusée ({error})", en=f"it is refused ({error})")
    seen = list(source.read(query, result))
    evidence = Evidence(
        path=f"/v1/analyses/{analysis}",
        request=said,
        definition_hash=result.definition_hash,
        at="",
    )
    candidates = [one for one in seen if one is not None]
    return _Read(analysis, evidence, candidates, len(seen) - len(candidates))


def _finding(read: _Read, one: Candidate, q: float | None) -> Finding:
    figures: dict[str, Figure] = dict(one.figures)
    inside: tuple[list[str], list[str]] = ([], [])
    if one.interval is not None and not one.said:
        unit = Share if one.difference is None else Points
        figures["between"] = Between(unit(one.interval[0]), unit(one.interval[1]))
        inside[0].append("intervalle à 95 % : {between}")
        inside[1].append("95% interval: {between}")
    if q is not None:
        figures["q"] = Probability(q)
        inside[0].append("q {q}")
        inside[1].append("q {q}")
    french, english = (f" ({'; '.join(part)})" if part else "" for part in inside)
    return Finding(
        kind=one.kind,
        about=one.about,
        text=sentence(
            f"{one.french}{french.replace(';', ' ;')}.", f"{one.english}{english}.", **figures
        ),
        n=one.n,
        k=one.k,
        share=one.share,
        reference=one.reference,
        difference=one.difference,
        interval=one.interval,
        test=one.verdict.test if one.verdict else None,
        p=one.verdict.p if one.verdict else None,
        q=q,
        people=one.people,
        evidence=read.evidence.model_copy(update={"at": one.at}),
        bucket=bucket("of", read.analysis, one.bucket) if one.bucket else None,
    )


def _weightiest(told: Sequence[Finding], each: int) -> Iterator[Finding]:
    """Yield findings by how many people they are about, so many of each kind at most."""
    seen: Counter[str] = Counter()
    for one in sorted(told, key=lambda f: (f.q is None, -f.people, f.kind, f.evidence.at)):
        seen[one.kind] += 1
        if seen[one.kind] <= each:
            yield one


def _looked(
    name: str,
    said: dict[str, Any] | LocalizedText,
    read: _Read | None,
    found: Mapping[str, int],
) -> Looked:
    return Looked(
        analysis=name,
        tested=sum(c.verdict is not None for c in read.candidates) if read else 0,
        too_few=read.too_few if read else 0,
        found=found.get(read.evidence.path, 0) if read else 0,
        why_not=None if isinstance(said, dict) else said,
    )


def _summary(
    query: FindingsQuery, found: int, listed: int, tested: int, too_few: int
) -> LocalizedText:
    figures = {"found": found, "listed": listed, "tested": tested, "few": too_few,
               "least": query.least}  # fmt: skip
    if not tested and not found:
        return sentence(
            "Trop peu de données : aucun groupe n’atteint {least} personnes ; rien n’est affirmé.",
            "Too little data: no group has {least} people; nothing is claimed.",
            **figures,
        )
    if not found:
        return sentence(
            "Rien de notable : {tested} {tested:test|tests}, aucun ne résiste à la correction ;"
            " {few} {few:groupe|groupes} de moins de {least} personnes"
            " {few:n’a pas été testé|n’ont pas été testés}.",
            "Nothing notable: of {tested} {tested:test|tests} none holds when corrected; {few}"
            " {few:group|groups} of fewer than {least} people {few:was|were} not tested.",
            **figures,
        )
    return sentence(
        "Constats : {found}, dont {listed} {listed:donné|donnés} ici ; {tested}"
        " {tested:test, corrigé|tests, corrigés ensemble} ; {few} {few:groupe|groupes} de moins de"
        " {least} personnes {few:n’a pas été testé|n’ont pas été testés}.",
        "Findings: {found}, of which {listed} {listed:is|are} told here; {tested}"
        " {tested:test, corrected|tests, corrected together}; {few} {few:group|groups} of fewer"
        " than {least} people {few:was|were} not tested.",
        **figures,
    )


def _semantics(query: FindingsQuery) -> FindingsSemantics:
    said = query.model_dump(mode="json")
    return FindingsSemantics(
        unit="profile; of unmapped events the event",
        entry="as asked"
        if query.entry
        else "events that are mapped to the first stage with a touchpoint",
        outcome="as asked"
        if query.outcome
        else "events that are mapped to the last stage with a touchpoint",
        **{part: said[part] for part in ("window", "observe", "threshold", "level", "least",
                                         "each")},
    )  # fmt: skip
