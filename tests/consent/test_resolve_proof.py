"""Properties over random histories of what is proved how well, and of versions that renew."""

from dataclasses import replace
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from consent import Purpose, Versions, catalogue
from consent.resolve import Record, standing
from tests.consent.test_resolve import EVER, START, decode, histories, hours, many


@many
@given(histories, st.binary(min_size=4, max_size=4), hours)
def test_a_grant_lifts_no_refusal_that_is_proved_better(
    history: list[Record], data: bytes, at: datetime
) -> None:
    [grant] = decode(data)
    before = standing(history, at=at, known_at=EVER)
    nos = [r for r in history if r.state != "given" and r.order_time <= at]
    best = max((r.proof for r in nos), default=0)
    if before.standing not in ("refused", "withdrawn") or best == 0:
        return
    weak = replace(grant, state="given", universal=None, proof=best - 1, seq=99)
    given_ = [r for r in history if r.state == "given"]
    best_stands = any(
        no.proof == best
        and not any(
            g.proof >= best and g.order_time > no.order_time and g.effective_at <= at
            for g in given_
        )
        for no in nos
    )
    after = standing([*history, weak], at=at, known_at=EVER)
    if best_stands:
        assert after.standing in ("refused", "withdrawn")
    # What is proved as well as anything is the last word, as long as nothing universal is said.
    if not any(no.universal for no in nos):
        strong = replace(weak, effective_at=at, recorded_at=at, valid_until=None, proof=best)
        said = standing([*history, strong], at=at, known_at=EVER)
        latest = max(no.order_time for no in nos)
        assert (said.standing in ("refused", "withdrawn")) == (latest == at)


@many
@given(
    st.lists(st.tuples(hours, st.booleans()), min_size=1, max_size=5),
    hours,
    hours,
    hours,
)
def test_a_grant_from_before_a_version_that_renews_is_stale_whenever_it_arrives(
    later: list[tuple[datetime, bool]], effective: datetime, recorded: datetime, at: datetime
) -> None:
    first = Purpose("club.news", effective_from=START)
    versions = [first] + [
        replace(first, version=2 + n, effective_from=when, renews=renews)
        for n, (when, renews) in enumerate(later)
    ]
    agreed = Versions(versions).at("club.news", min(effective, recorded))
    grant = Record("given", effective, recorded, 1, purpose_version=agreed.version)
    now = catalogue._in_effect([(v, at) for v in versions], at)["club.news"]
    said = standing([grant], at=at, known_at=EVER, purpose=now).standing
    renewed_since = [
        v.version
        for v in versions
        if v.renews and min(effective, recorded) < v.effective_from <= at
        and v.version > agreed.version
    ]  # fmt: skip
    if effective <= at:
        assert said == ("stale_notice" if renewed_since else "given")
    shown = Versions(versions).at("club.news", EVER, last=1)
    assert shown == first, "a notice tells of nothing that came after it"
