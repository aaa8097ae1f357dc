"""Reads a file that holds one JSON object."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from app.errors import DefinitionInvalid

T = TypeVar("T", bound=BaseModel)
#: So many places are named of what does not have the expected form.
MOST_PLACES = 3


def read(file: Path) -> dict[str, Any]:
    """Return the object; raises DefinitionInvalid, saying what is wrong with the file.

    NaN and Infinity are no JSON (RFC 8259 §6), although Python reads them.
    """
    try:
        value = json.loads(file.read_bytes(), parse_constant=_refused)
    except OSError as error:
        raise DefinitionInvalid(f"{file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DefinitionInvalid(f"{file} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DefinitionInvalid(f"{file} is not a JSON object")
    return value


def model(kind: type[T], said: Mapping[str, Any]) -> T:
    """Return what an object says; raises DefinitionInvalid with pointers, without its values.

    They may be secrets, as a destination's are.
    """
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise DefinitionInvalid(places(error)) from error


def places(error: ValidationError) -> str:
    """Return what is wrong and where, without the values that stand there."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    said = [f"#/{'/'.join(map(str, one['loc']))}: {one['msg']}" for one in found[:MOST_PLACES]]
    more = [f"and {len(found) - MOST_PLACES} more"] if len(found) > MOST_PLACES else []
    return "; ".join([*said, *more])


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
