"""IAB's strings as signals: TC strings, GPP strings and US Privacy strings, read and accepted."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from consent.signals import acceptance, gpp, tcf, us_privacy, us_sections
from consent.signals.bits import Undecodable
from consent.signals.meanings import Meanings
from consent.signals.stamp import Rules, Signal
from consent.signals.tcf import TcString
from consent.signals.tcf_canada import CanadaString

PURPOSES, FEATURES = range(1, 12), range(1, 3)
#: Those of IAB Canada: the first bit is not used, and 11 came to Europe later.
IN_CANADA = range(2, 11)
_IDS = re.compile(r"-?\d{1,3}(?:[,_]-?\d{1,3})*", re.ASCII)


def read_tcf(value: object, meanings: Meanings, rules: Rules, now: datetime) -> Signal | None:
    """Read a TC string, as such or as `{"string", "gdprApplies"}`.

    Where GDPR does not apply, it says nothing.
    """
    text = value
    if isinstance(value, Mapping):
        if value.get("gdprApplies") is False:
            return None
        text = value.get("string")
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        return Signal("tcf", problem="malformed")
    try:
        return _accepted(tcf.decode(text), text, meanings, rules, now)
    except Undecodable as error:
        return Signal("tcf", problem=error.reason)


def read_gpp(
    value: object, ids: object, meanings: Meanings, rules: Rules, now: datetime
) -> list[Signal]:
    """Read a GPP string, as such or as `{"string", "gpp_sid"}`; `ids` are its sections in force.

    Without `ids` all sections are in force. One in force that cannot be read refuses.
    """
    text = value
    if isinstance(value, Mapping):
        text = value.get("string")
        ids = value.get("gpp_sid", ids)
    if text is None or text == "":
        return []
    try:
        if not isinstance(text, str):
            raise Undecodable("malformed")
        found = gpp.decode(text)
        wanted = found.sections if ids is None else _ids(ids)
    except Undecodable as error:
        return [Signal("gpp", problem=error.reason)]
    if not wanted <= found.sections - found.unread:
        return [Signal("gpp", problem="section_missing")]
    said = []
    if found.tcf and gpp.TCF_EU in wanted:
        said.append(_accepted(found.tcf, found.tc, meanings, rules, now))
    if found.canada and gpp.TCF_CANADA in wanted:
        said.append(_accepted_in_canada(found.canada, meanings, rules, now))
    out = any(us_sections.opted_out(v) for i, v in (found.states or {}).items() if i in wanted)
    if found.us_privacy and gpp.US_PRIVACY in wanted and found.us_privacy.opted_out:
        out = True
    return [*said, Signal("gpp", opt_out=meanings.universal if out else frozenset())]


def read_us_privacy(value: object, meanings: Meanings) -> Signal | None:
    """Read a US Privacy string: an opt-out of sale, or nothing."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return Signal("us_privacy", problem="malformed")
    try:
        found = us_privacy.decode(value)
    except Undecodable as error:
        return Signal("us_privacy", problem=error.reason)
    return Signal("us_privacy", opt_out=meanings.universal if found.opted_out else frozenset())


def read_gpc(value: object, meanings: Meanings) -> Signal | None:
    """Read Global Privacy Control: true, or nothing."""
    if value is None or value is False:
        return None
    if value is not True:
        return Signal("gpc", problem="malformed")
    return Signal("gpc", opt_out=meanings.universal)


def _accepted(
    found: TcString, text: str, meanings: Meanings, rules: Rules, now: datetime
) -> Signal:
    why, until = acceptance.problem(found, rules, now), acceptance.changes(found, now)
    if why is not None:
        return Signal("tcf", problem=why, until=until)
    given, refused, silent = _answers(found, PURPOSES, meanings, rules)
    return Signal(
        "tcf",
        given,
        refused,
        silent=silent,
        notes=("legitimate_interest_ignored",) if acceptance.ignored(found) else (),
        registered=found.cmp_id in rules.collectors,
        tc=text,
        until=until,
        answered_at=found.updated,
    )


def _accepted_in_canada(
    found: CanadaString, meanings: Meanings, rules: Rules, now: datetime
) -> Signal:
    """Read what was agreed to expressly; it is never kept for vendors."""
    why, until = acceptance.problem_in_canada(found, rules, now), acceptance.changes(found, now)
    if why is not None:
        return Signal("tcf_canada", problem=why, until=until)
    given, refused, silent = _answers(found, IN_CANADA, meanings, rules)
    return Signal(
        "tcf_canada",
        given,
        refused,
        silent=silent,
        registered=found.cmp_id in rules.collectors,
        until=until,
        answered_at=found.updated,
    )


def _answers(
    found: TcString | CanadaString, purposes: Iterable[int], meanings: Meanings, rules: Rules
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return what a string gives, refuses, and gives no more because it says nothing of it."""
    asked = {f"tcf:{i}" for i in purposes}
    if rules.own_purposes == "core":
        yes = {f"tcf:{i}" for i in found.purposes}
        yes |= {f"tcf:feature:{i}" for i in found.special_features}
        asked |= {f"tcf:feature:{i}" for i in FEATURES}
    elif found.publisher is None:  # what it gave to the publisher before, it gives no more
        return frozenset(), frozenset(), meanings.of(asked)
    else:
        yes = {f"tcf:{i}" for i in found.publisher.purposes}
    refused = meanings.of(asked - yes)
    return meanings.of(yes & asked) - refused, refused, frozenset()


def _ids(value: object) -> frozenset[int]:
    """Read `gpp_sid`: a list of numbers, or as it stands in addresses, `2_6`; -1 and 0 are none."""
    if isinstance(value, str) and _IDS.fullmatch(value):
        value = [int(part) for part in re.split("[,_]", value)]
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list) or not all(type(i) is int for i in value):
        raise Undecodable("malformed")
    return frozenset(i for i in value if i > 0)
