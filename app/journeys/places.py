"""The analyses of places in a journey, and of groups of people held against each other."""

from app.journeys import compare, drop_off, friction, moments_of_truth, voice
from app.journeys.compare_request import CompareQuery, caveats
from app.journeys.friction_request import DropOffQuery, FrictionQuery, VoiceQuery
from app.journeys.kind import Kind
from app.journeys.moments_request import MomentsQuery

KINDS: dict[str, Kind] = {
    "friction": Kind(
        FrictionQuery,
        lambda c, r, at: friction.friction(c, r, as_of=at),
        lambda c, r, at, number: friction.people(c, r, as_of=at, number=number),
        spelling=False,
    ),
    "drop-off": Kind(
        DropOffQuery,
        lambda c, r, at: drop_off.drop_off(c, r, as_of=at),
        lambda c, r, at, number: drop_off.people(c, r, as_of=at, number=number),
        spelling=False,
    ),
    "voice": Kind(
        VoiceQuery,
        lambda c, r, at: voice.voice(c, r, as_of=at),
        lambda c, r, at, number: voice.people(c, r, as_of=at, number=number),
        spelling=False,
    ),
    "moments-of-truth": Kind(
        MomentsQuery,
        lambda c, r, at: moments_of_truth.moments_of_truth(c, r, as_of=at),
        lambda c, r, at, number: moments_of_truth.people(c, r, as_of=at, number=number),
        spelling=False,
    ),
    "compare": Kind(
        CompareQuery,
        lambda c, r, at: compare.compare(c, r, as_of=at),
        lambda c, r, at, number: compare.people(c, r, as_of=at, number=number),
        caveats,
        attributes=compare.attributes,
    ),
}
