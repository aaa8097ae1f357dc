"""The sections of US states in a GPP string: which fields they have, in which order.

Source: "GPP Section specifications, US" of IAB Tech Lab, as its own JavaScript package
@iabgpp/cmpapi 3.2.0 reads them. All fields have 2 bits; a number is that of a list's entries.
"""

from dataclasses import dataclass

from consent.signals.bits import Bits, Undecodable

_SALE, _SHARING, _TARGETED = "SaleOptOut", "SharingOptOut", "TargetedAdvertisingOptOut"
#: Fields by which a person says no to sale, sharing or advertising across contexts; 1 is no.
OPT_OUTS = (_SALE, _SHARING, _TARGETED)
_SENSITIVE, _CHILD = "SensitiveDataProcessing", "KnownChildSensitiveDataConsents"
_MORE = "AdditionalDataProcessingConsent"
_MSPA = ("MspaCoveredTransaction", "MspaOptOutOptionMode", "MspaServiceProviderMode")
_NOTICES = ("SaleOptOutNotice", "TargetedAdvertisingOptOutNotice")

#: The national section's first version is 60 bits, filled to 11 characters; IAB's package writes it
#: in the 12 of the second version too.
_FIRST_NATIONAL = 11

Fields = tuple[tuple[str, int], ...]
Values = dict[str, int | tuple[int, ...] | bool]


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its name, its versions with their fields, and what its second segment holds."""

    name: str
    versions: dict[int, Fields]
    second: str | None = "Gpc"


def _fields(*names: str | tuple[str, int]) -> Fields:
    """Return fields with the number of their entries; 0 is no list."""
    return tuple((name, 0) if isinstance(name, str) else name for name in names)


def _state(
    first: str, sensitive: int, child: int, *, more: bool, also: tuple[str, ...] = ()
) -> dict[int, Fields]:
    """Return the fields of most states, which differ in a few."""
    return {
        1: _fields(
            first, *_NOTICES, *also, _SALE, _TARGETED,
            (_SENSITIVE, sensitive), (_CHILD, child), *((_MORE,) if more else ()), *_MSPA,
        )
    }  # fmt: skip


def _later(*last: str) -> dict[int, Fields]:
    """Return the fields of the states that came last, which begin with those of the MSPA."""
    return {
        1: _fields(
            "MspaCoveredTransaction", "MspaMode", "ProcessingNotice", *_NOTICES, _SALE, _TARGETED,
            *last,
        )
    }  # fmt: skip


def _national(sensitive: int, child: int) -> Fields:
    return _fields(
        "SharingNotice", "SaleOptOutNotice", "SharingOptOutNotice",
        "TargetedAdvertisingOptOutNotice", "SensitiveDataProcessingOptOutNotice",
        "SensitiveDataLimitUseNotice", _SALE, _SHARING, _TARGETED,
        (_SENSITIVE, sensitive), (_CHILD, child), "PersonalDataConsents", *_MSPA,
    )  # fmt: skip


_CALIFORNIA = {
    1: _fields(
        "SaleOptOutNotice", "SharingOptOutNotice", "SensitiveDataLimitUseNotice", _SALE, _SHARING,
        (_SENSITIVE, 9), (_CHILD, 2), "PersonalDataConsents", *_MSPA,
    )
}  # fmt: skip
_UTAH = {
    1: _fields(
        "SharingNotice", *_NOTICES, "SensitiveDataProcessingOptOutNotice", _SALE, _TARGETED,
        (_SENSITIVE, 8), _CHILD, *_MSPA,
    )
}  # fmt: skip

#: By their ids in the header. A list of no entries is one value.
SECTIONS: dict[int, Section] = {
    7: Section("usnat", {1: _national(12, 2), 2: _national(16, 3)}),
    8: Section("usca", _CALIFORNIA),
    9: Section("usva", _state("SharingNotice", 8, 0, more=False), None),
    10: Section("usco", _state("SharingNotice", 7, 0, more=False)),
    11: Section("usut", _UTAH, None),
    12: Section("usct", _state("SharingNotice", 8, 3, more=False)),
    13: Section("usfl", _state("ProcessingNotice", 8, 3, more=True), None),
    14: Section("usmt", _state("SharingNotice", 8, 3, more=True)),
    15: Section("usor", _state("ProcessingNotice", 11, 3, more=True)),
    16: Section("ustx", _state("ProcessingNotice", 8, 0, more=True)),
    17: Section("usde", _state("ProcessingNotice", 9, 5, more=True)),
    18: Section(
        "usia",
        _state("ProcessingNotice", 8, 0, more=False, also=("SensitiveDataOptOutNotice",)),
    ),
    19: Section("usne", _state("ProcessingNotice", 8, 0, more=True)),
    20: Section("usnh", _state("ProcessingNotice", 8, 3, more=True)),
    21: Section("usnj", _state("ProcessingNotice", 10, 5, more=True)),
    22: Section("ustn", _state("ProcessingNotice", 8, 0, more=True)),
    23: Section("usmn", _state("ProcessingNotice", 8, 0, more=True)),
    24: Section("usmd", _later(_MORE)),
    25: Section("usin", _later(_CHILD, _MORE), _SENSITIVE),
    26: Section("usky", _later(_CHILD, _MORE), _SENSITIVE),
    27: Section("usri", _later(_CHILD, _MORE), _SENSITIVE),
}


def decode(section: Section, text: str) -> Values:
    """Decode one section; raises Undecodable.

    Its length must be that of its fields: IAB's own package reads what is one character short with
    its values shifted (research/consent.md 3, check 18).
    """
    core, *others = text.split(".")
    if len(others) > (section.second is not None):
        raise Undecodable("unknown_segment")
    bits = Bits(core)
    version = bits.number(6)
    fields = section.versions.get(version)
    if fields is None:
        raise Undecodable("unknown_version")
    old = section.name == "usnat" and version == 1 and len(core) > _FIRST_NATIONAL
    if section.name == "usnat" and len(core) < _FIRST_NATIONAL:
        raise Undecodable("truncated")
    found: Values = {"Version": version, **_read(bits, _national(16, 3) if old else fields)}
    _padding(bits)
    if old:
        if found[_MSPA[0]] == 0:  # what is cut by one character here has the length of the other
            raise Undecodable("unknown_value")
        for name, size in (_SENSITIVE, 12), (_CHILD, 2):
            found[name] = found[name][:size]  # type: ignore[index]  # these two are lists
    if section.second == "Gpc":
        found["Gpc"] = _gpc(others[0]) if others else False
    elif others:
        bits = Bits(others[0])
        found |= _read(bits, ((_SENSITIVE, 8),))
        _padding(bits)
    return found


def opted_out(values: Values) -> bool:
    """Say whether a section opts out of sale, sharing or advertising across contexts."""
    return values.get("Gpc") is True or any(values.get(name) == 1 for name in OPT_OUTS)


def _read(bits: Bits, fields: Fields) -> Values:
    return {
        name: tuple(_answer(bits) for _ in range(size)) if size else _answer(bits)
        for name, size in fields
    }


def _answer(bits: Bits) -> int:
    """Return 0 (does not apply), 1 or 2; what 1 and 2 mean depends on the field."""
    value = bits.number(2)
    if value == 3:
        raise Undecodable("unknown_value")
    return value


def _gpc(text: str) -> bool:
    bits = Bits(text)
    if bits.number(2) != 1:
        raise Undecodable("unknown_segment")
    found = bits.flag()
    _padding(bits)
    return found


def _padding(bits: Bits) -> None:
    """Check what is left: encoders fill to bytes, then to characters, which is at most 12 bits."""
    if bits.unread > 12:
        raise Undecodable("trailing_bits")
    bits.end()
