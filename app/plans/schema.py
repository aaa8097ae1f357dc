"""The JSON Schemas of a plan: which ones are let in, and how they are compiled.

Whoever writes a plan is trusted with what it says, not with the server: a schema may neither
reach out (`$ref` to another host or file), nor run in a circle, nor multiply (references that
double at every step), nor hold a pattern that backtracks.
"""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from app.plans.subschemas import DRAFT, Fault, Walk, token

#: Bytes that one compiled pattern may take. The engine is linear in the text; this is the factor:
#: 32 KB against the worst pattern of this size took 11 ms.
PATTERN_BYTES = 131_072

_OPTIONS: dict[str, Any] = {
    "offline": True,
    "validate_formats": True,
    "ignore_unknown_formats": False,
    "mask": "the value",
    "pattern_options": jsonschema_rs.RegexOptions(
        size_limit=PATTERN_BYTES, dfa_size_limit=PATTERN_BYTES
    ),
}


def compiled(wanted: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Return the validator of a schema: offline, patterns in linear time, formats asserted.

    `mask` keeps the values of events out of every message. Raises ValueError for a schema that
    `faults` would not let in.
    """
    return jsonschema_rs.Draft202012Validator(dict(wanted), **_OPTIONS)


def each_compiled(wanted: Mapping[str, Any]) -> jsonschema_rs.ValidatorMap:
    """Return the validators of a schema and of every subschema, by `#` and their pointers."""
    return jsonschema_rs.validator_map_for({"$schema": DRAFT, **wanted}, **_OPTIONS)


def faults(wanted: Mapping[str, Any]) -> list[Fault]:
    """Return what keeps a schema from being used; none when it is fine."""
    found = Walk(wanted).faults
    if found:
        return found
    try:
        compiled(wanted)
    except jsonschema_rs.ValidationError as error:
        pointer = "".join(f"/{token(part)}" for part in error.instance_path)
        return [Fault(pointer, _said(error))]
    except ValueError as error:
        return [Fault("", str(error).splitlines()[0])]
    return []


def _said(error: jsonschema_rs.ValidationError) -> str:
    if error.kind.name == "format" and "regex" in error.message:
        return (
            "not a pattern that can be used: no look-around and no back-references, and with its "
            f"repetitions written out at most {PATTERN_BYTES} bytes"
        )
    return error.message.splitlines()[0]
