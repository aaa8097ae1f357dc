"""Consent in the forms of other makers: Google, RudderStack, Adobe and Snowplow."""

from collections.abc import Mapping

from consent.signals.meanings import SIGNALS, Meanings
from consent.signals.stamp import UNKNOWN, Signal

#: Adobe's `choice-value` (XDM): of these only two are a person's own choice. The others are
#: defaults, not given yet, or another lawful basis, which is the catalogue's to say.
_XDM: dict[str, bool | None] = {
    **dict.fromkeys(("p", "u", "dy", "LI", "CT", "CP", "VI", "PI")),
    "y": True,
    "n": False,
    "dn": False,
}
#: Members of `consents` that are no choices themselves.
_XDM_GROUPS = frozenset({"personalize", "marketing", "metadata", "idSpecific"})
#: Snowplow's event types; those that are no choice say nothing.
_SNOWPLOW_SILENT = frozenset({"pending", "implicit_consent"})
_SNOWPLOW_GIVES = frozenset({"allow_all", "allow_selected"})
_SNOWPLOW_ENDS = frozenset({"deny_all", "withdrawn", "expired"})


def read_google(value: object, meanings: Meanings) -> Signal | None:
    """Read Google Consent Mode v2: `{"ad_storage": "granted", "ad_user_data": "denied", …}`."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return Signal("google", problem="malformed")
    # A command of its own, or what holds in some places alone, is not how it stands for the person.
    if any(isinstance(said, Mapping) for said in value.values()) or value.get("region"):
        return Signal("google", problem="malformed")
    known = {f"google:{name}": name for name in value if isinstance(name, str)}
    answers = {
        name: value[name]
        for full, name in known.items()
        if full in SIGNALS or full in meanings.categories or _denies(value[name])
    }
    if not all(answer in ("granted", "denied") for answer in answers.values()):
        return Signal("google", problem="malformed")
    return _said("google", answers, "granted", meanings)


def _denies(answer: object) -> bool:
    return isinstance(answer, str) and answer.strip().casefold() == "denied"


def read_rudderstack(value: object, meanings: Meanings) -> Signal | None:
    """Read RudderStack's `context.consentManagement`: ids in both of its lists are denied."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return Signal("rudderstack", problem="malformed")
    allowed, denied = (_names(value.get(n)) for n in ("allowedConsentIds", "deniedConsentIds"))
    if allowed is None or denied is None:
        return Signal("rudderstack", problem="malformed")
    refused = meanings.of(denied)
    notes = (UNKNOWN,) if meanings.unknown(denied) else ()
    return Signal("rudderstack", meanings.of(allowed) - refused, refused, notes=notes)


def read_xdm(value: object, meanings: Meanings) -> Signal | None:
    """Read Adobe's XDM field group `consents`."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return Signal("xdm", problem="malformed")
    said, blocks = _xdm_said(value, meanings), _xdm_blocks(value.get("idSpecific"))
    of_ids = [_xdm_said(block, meanings) for block in blocks or ()]
    if said is None or blocks is None or None in of_ids:
        return Signal("xdm", problem="malformed")
    for one in of_ids:  # a yes of one id is none of the person; a no is
        said |= {name: False for name, yes in (one or {}).items() if not yes}
    return _said("xdm", said, True, meanings)


def _xdm_said(value: Mapping[str, object], meanings: Meanings) -> dict[str, bool] | None:
    """Return the choices of a block of XDM by name, or None where one cannot be understood."""
    answers = {name: choice for name, choice in value.items() if name not in _XDM_GROUPS}
    for group in ("personalize", "marketing"):
        inner = {} if value.get(group) is None else value[group]
        if not isinstance(inner, Mapping):
            return None
        answers |= {f"{group}.{name}": choice for name, choice in inner.items()}
    said: dict[str, bool] = {}
    for name, choice in answers.items():
        full = f"xdm:{name}"
        val = str(choice.get("val")) if isinstance(choice, Mapping) else ""
        if choice is None or (full not in SIGNALS and full not in meanings.categories):
            if _XDM.get(val) is not False:
                continue  # a no to what nobody has a name for is a no all the same
        elif val not in _XDM:
            return None
        if (yes := _XDM[val]) is not None:
            said[name] = yes
    return said


def _xdm_blocks(value: object) -> list[Mapping[str, object]] | None:
    """Return what single ids say, `{namespace: {id: {"collect": …}}}`; None of another form."""
    spaces = {} if value is None else value
    if not isinstance(spaces, Mapping):
        return None
    found: list[Mapping[str, object]] = []
    for ids in spaces.values():
        for block in ids.values() if isinstance(ids, Mapping) else (None,):
            if not isinstance(block, Mapping):
                return None
            found.append(block)
    return found


def read_snowplow(value: object, meanings: Meanings) -> tuple[Signal, bool] | None:
    """Read the data of Snowplow's `consent_preferences`, and whether it is a whole answer.

    None where it is no choice, or gives on another basis than consent.
    """
    if not isinstance(value, Mapping):
        return Signal("snowplow", problem="malformed"), False
    kind, scopes = str(value.get("eventType")), _names(value.get("consentScopes"))
    if kind in _SNOWPLOW_SILENT:
        return None
    if scopes is None or kind not in _SNOWPLOW_GIVES | _SNOWPLOW_ENDS:
        return Signal("snowplow", problem="malformed"), False
    if kind in _SNOWPLOW_GIVES:
        if value.get("basisForProcessing", "consent") != "consent":
            return None  # another basis gives nothing; what is refused on it is refused
        return Signal("snowplow", meanings.of(scopes)), True
    named = kind != "deny_all" and bool(scopes)
    notes = (UNKNOWN,) if meanings.unknown(scopes) else ()
    return Signal("snowplow", refused=meanings.of(scopes), notes=notes), not named


def _said(maker: str, answers: Mapping[str, object], yes: object, meanings: Meanings) -> Signal:
    """Return what answers by name say; of two that contradict each other the refusal.

    A no to a name that nobody has given a meaning is one to the purpose of that name, if there is
    one, and noted if there is none.
    """
    given = meanings.of(f"{maker}:{name}" for name, answer in answers.items() if answer == yes)
    denied = [name for name, answer in answers.items() if answer != yes]
    full = {f"{maker}:{name}": name for name in denied}
    bare = [name for whole, name in full.items() if meanings.unknown([whole])]
    refused = meanings.refused_by(full) | meanings.of(bare)
    notes = (UNKNOWN,) if meanings.unknown(bare) else ()
    return Signal(maker, given - refused, refused, notes=notes)


def _names(value: object) -> list[str] | None:
    """Return a list of names, [] of nothing, or None of what is no such list."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return None
    return value
