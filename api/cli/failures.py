"""What a command says of an error that was foreseen: one line, without what a person sent."""

from rich.markup import escape
from sqlalchemy.exc import DataError

from api.problems import BASES, title
from app.db import unavailable


def line(error: Exception) -> str | None:
    """Return the line, or None for an error that nobody foresaw."""
    if isinstance(error, BASES):
        return _marked(f"{title(type(error))} {error}")
    why = unavailable(error)
    if why is not None:
        return _marked(f"{why[0].upper()}{why[1:]}.")
    if isinstance(error, DataError):
        return _marked("The database cannot hold this value.")
    if isinstance(error, UnicodeEncodeError):
        return _marked("What was given is no text: it is not UTF-8.")
    return None


def _marked(said: str) -> str:
    return f"[red]error:[/red] {escape(said)}"
