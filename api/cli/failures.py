"""What a command says of an error that was foreseen: one sentence, without what a person sent."""

import json

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from sqlalchemy.exc import DataError

from api.problems import BASES, slug, title
from app.db import unavailable
from app.settings import Settings
from consent.ledger.check import ProofInvalid


def line(error: Exception) -> str | None:
    """Return the sentence, or None for an error that nobody foresaw."""
    if isinstance(error, BASES):
        return f"{title(type(error))} {error}"
    why = unavailable(error)
    if why is not None:
        return f"{why[0].upper()}{why[1:]}."
    if isinstance(error, DataError):
        return "The database cannot hold this value."
    if isinstance(error, UnicodeEncodeError):
        return "What was given is no text: it is not UTF-8."
    if isinstance(error, ValidationError) and error.title == Settings.__name__:
        return "; ".join(map(_setting, error.errors(include_input=False, include_url=False)))
    if isinstance(error, ProofInvalid):
        return f"{str(error)[:1].upper()}{str(error)[1:]}."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}."
    return None


def document(error: Exception, said: str) -> str:
    """Return the same as JSON, for who asked for that: `code` is that of HTTP where it has one."""
    code = "usage" if isinstance(error, typer.TyperException) else "command-failed"
    code = slug(type(error)) if isinstance(error, BASES) else code
    return json.dumps({"error": {"code": code, "message": said}}, ensure_ascii=False) + "\n"


def _setting(wrong: ErrorDetails) -> str:
    name = "_".join(map(str, wrong["loc"])).upper()
    return f"PARCOURS_{name}: {wrong['msg'].removeprefix('Value error, ')}."
