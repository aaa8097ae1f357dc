"""IAB Canada's section of GPP strings: of purposes it says what counts, of vendors nothing."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from consent.defaults import CATALOGUE
from consent.signals.read import read
from consent.signals.stamp import Rules, Stamp
from tests.consent.build import DAY, canada

NOW: datetime = DAY + timedelta(days=1)
PLAIN = Rules()


def stamp(said: Any, *, rules: Rules = PLAIN) -> Stamp:
    return read(
        msgspec.json.encode(said), b"", known={p.key for p in CATALOGUE}, categories={}, now=NOW,
        rules=rules,
    )  # fmt: skip


def test_canadas_section_gives_what_was_agreed_to_expressly_and_refuses_the_rest() -> None:
    said = stamp({"gpp": canada(publisher=[1, 4, 9, 11], implied=[2, 7])})
    assert said.readable
    assert said.given == {"ads.personalised", "analytics.audience"}
    assert {"ads.basic", "measure.ads"} <= said.refused, "what is implied is no consent"
    assert not {"device.storage", "content.basic"} & (said.given | said.refused), "it has no bits"
    assert not said.tc, "of vendors it says nothing that all read alike"
    core = Rules(own_purposes="core")
    text = canada(express=[4], publisher=[9], features=[1])
    assert stamp({"gpp": text}, rules=core).given == {"ads.personalised", "geo.precise"}
    alone = stamp({"gpp": canada(express=[4], publisher=None)})
    assert (alone.given, alone.readable) == (frozenset(), True)


def test_canadas_section_that_may_not_count_refuses_where_it_is_in_force() -> None:
    day = timedelta(days=1)
    for text, why in (
        (canada(cmp_id=0, publisher=[4]), "tcf_canada:unknown_cmp"),
        (canada(created=DAY - 400 * day, publisher=[4]), "tcf_canada:too_old"),
        (canada(created=DAY + 90 * day, publisher=[4]), "tcf_canada:dated_ahead"),
        (canada(updated=DAY + day, publisher=[4]), "tcf_canada:dates_differ"),
        (canada(version=2, publisher=[4]), "gpp:section_missing"),
        (canada(publisher=[4], tail=""), "gpp:section_missing"),
        (canada(publisher=[4])[:-4], "gpp:section_missing"),
    ):
        assert stamp({"gpp": text}).problems == (why,), text
    europe = canada(version=2).replace("DBABD~", "DBABjw~") + "~1YNN"  # as in the specification
    assert stamp({"gpp": europe, "gpp_sid": [6]}).readable
    assert stamp({"gpp": europe, "gpp_sid": [5, 6]}).problems == ("gpp:section_missing",)


@given(tail=st.text("01", min_size=34, max_size=200), ids=st.sets(st.integers(1, 24)))
def test_no_beginning_of_canadas_section_grants_more_than_the_whole(
    tail: str, ids: set[int]
) -> None:
    """What it says of vendors is not read, so nothing in it moves what is read."""
    for rules in (Rules(), Rules(own_purposes="core")):
        text = canada(express=ids, implied=[5], publisher=ids, tail=tail)
        whole = stamp({"gpp": text}, rules=rules)
        assert whole.readable
        for size in range(len(text)):
            assert stamp({"gpp": text[:size]}, rules=rules).given <= whole.given
