"""Which trait becomes which field at the receiver: sources, types, required fields."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from app.destinations.kind import FieldType, Kind, Record, Target
from app.errors import DefinitionInvalid
from app.profiles import paths
from app.profiles.conditions import pointed

Value = str | int | float | bool


class Source(BaseModel):
    """Where the value of one field comes from: exactly one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trait: str | None = Field(
        default=None,
        max_length=200,
        examples=["first_name"],
        description="Its key, or a path into it: `address.city`, `pets[].name`.",
    )
    computed: str | None = Field(default=None, max_length=200, examples=["revenue_90d"])
    identifier: str | None = Field(
        default=None, max_length=100, description="The oldest one of this namespace."
    )
    segment: str | None = Field(default=None, max_length=100, description="Whether it is in.")
    profile_id: bool | None = Field(default=None, description="The profile's id.")
    value: Value | None = Field(default=None, description="Always this.")
    type: FieldType | None = Field(default=None, description="Of a field the kind does not name.")
    required: bool = Field(default=False, description="Nobody is sent who has no value.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        said = (self.trait, self.computed, self.identifier, self.segment, self.value)
        if sum(one is not None for one in said) + bool(self.profile_id) != 1:
            raise ValueError("name one of trait, computed, identifier, segment, profile_id, value")
        return self


Mapped = Mapping[str, Source]
READER: TypeAdapter[dict[str, Source]] = TypeAdapter(dict[str, Source])
#: The longest name of a field, and the most fields.
LONGEST, MOST = 255, 200


@dataclass(frozen=True, slots=True)
class Known:
    """What may be known of one person for the destination's purpose."""

    traits: Mapping[str, Any]
    computed: Mapping[str, Any]
    identifiers: Mapping[str, list[str]]
    segments: frozenset[str]
    profile_id: str


def parse(value: Any, kind: Kind, settings: Any, segments: Iterable[str]) -> dict[str, Source]:
    """Return a mapping, checked against the kind; raises DefinitionInvalid, which says where.

    A field that the kind demands must be mapped; one it does not know is let in where it is open.
    """
    try:
        found = READER.validate_python(value)
    except ValidationError as error:
        raise DefinitionInvalid(pointed(error, "mapping")) from error
    if found and not kind.holds_records:
        raise DefinitionInvalid(f"#/mapping: a {kind.name} is sent no fields")
    usable = all(0 < len(name) <= LONGEST and name.isprintable() for name in found)
    if len(found) > MOST or not usable:
        raise DefinitionInvalid(
            f"#/mapping: at most {MOST} fields, of printable names up to {LONGEST}"
        )
    targets = kind.targets(settings)
    for name, source in found.items():
        if name in kind.own:
            raise DefinitionInvalid(f"#/mapping/{name}: a {kind.name} writes this field itself")
        if name not in targets and not kind.open_targets:
            known = ", ".join(sorted(targets))
            raise DefinitionInvalid(f"#/mapping/{name}: no field of it; there are {known}")
        if source.segment is not None and source.segment not in segments:
            raise DefinitionInvalid(f"#/mapping/{name}/segment: not sent to this destination")
        wanted = targets[name].type if name in targets else None
        if wanted and source.type and source.type != wanted:
            raise DefinitionInvalid(f"#/mapping/{name}/type: it is {wanted}")
    missing = sorted(name for name, t in targets.items() if t.required and name not in found)
    if missing:
        raise DefinitionInvalid(f"#/mapping: {', '.join(missing)} must be mapped")
    return found


def dumped(mapping: Mapped) -> dict[str, Any]:
    """Return a mapping as it is stored and shown."""
    return {name: source.model_dump(exclude_defaults=True) for name, source in mapping.items()}


def fields(
    mapping: Mapped, targets: Mapping[str, Target], known: Known
) -> tuple[dict[str, Any], list[str]]:
    """Return the value of each field, and what is wrong: fields and reasons, never a value.

    What has no value is None, so that the receiver can be told to empty it.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, source in mapping.items():
        target = targets.get(name, Target(source.type or "text"))
        found = _found(source, known)
        values[name] = None
        if found is None or found == "":
            if target.required or source.required:
                wrong.append(f"field {name}: required, and there is no value")
            continue
        try:
            values[name] = converted(found, source.type or _loose(source, name, targets, found))
        except (ValueError, TypeError, OverflowError):
            wrong.append(f"field {name}: not of type {source.type or target.type}")
            continue
        text = values[name]
        if target.longest and isinstance(text, str) and len(text) > target.longest:
            values[name] = text[: target.longest]
    return values, wrong


def digest(values: Mapping[str, Any], segments: Iterable[str], identifiers: Any) -> bytes:
    """Return what is the same for records that say the same."""
    said = [values, sorted(segments), identifiers]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).digest()


def told(record: Record) -> bytes:
    """Return what is the same for records that say the same of the same, under whatever id."""
    said = [record.type, record.profile_id, record.intent, record.segment, record.reason,
            sorted(record.segments), record.identifiers, record.fields, record.remote,
            record.withdrawn, record.agreed_again, record.data]  # fmt: skip
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).digest()


def _found(source: Source, known: Known) -> Any:
    if source.trait is not None:
        listed = paths.look_up(known.traits, source.trait)
        several = len(listed) > 1 or (
            source.trait.endswith("[]") and source.trait not in known.traits
        )
        return listed if listed and several else next(iter(listed), None)
    if source.computed is not None:
        return known.computed.get(source.computed)
    if source.identifier is not None:
        return next(iter(known.identifiers.get(source.identifier, [])), None)
    if source.segment is not None:
        return source.segment in known.segments
    return known.profile_id if source.profile_id else source.value


def _loose(source: Source, name: str, targets: Mapping[str, Target], found: Any) -> FieldType:
    """Return the type of a field: the kind's; of one it does not know, what the value is."""
    if name in targets:
        return targets[name].type
    if isinstance(found, bool):
        return "boolean"
    if isinstance(found, int | float):
        return "number"
    return "list" if isinstance(found, list) else "text"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _number(value: Any) -> int | float:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    number = value if isinstance(value, int | float) else float(str(value).strip())
    if isinstance(number, float) and not abs(number) < float("inf"):
        raise ValueError("not finite")
    return number


def _integer(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError("not whole")
    return int(number)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        str(value).strip().lower()
    )
    if found is None:
        raise ValueError("neither true nor false")
    return found


def _datetime(value: Any) -> str:
    at = datetime.fromisoformat(str(value).strip())
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _date(value: Any) -> str:
    text = str(value).strip()
    day = date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text).date()
    return day.isoformat()


def _email(value: Any) -> str:
    text = str(value).strip()
    if len(text) > 254 or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError("no address")
    return text


def _list(value: Any) -> list[str]:
    return [_text(one) for one in (value if isinstance(value, list) else [value])]


CONVERT: dict[FieldType, Callable[[Any], Any]] = {
    "text": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "email": _email,
    "list": _list,
}


def converted(value: Any, kind: FieldType) -> Any:
    """Return a value as a type; raises ValueError where it is none of it."""
    return CONVERT[kind](value)
