"""Logs name nobody, at any level: an error is told by its kind and where it came from.

What an error says may be what a person sent: a database names the value that it cannot take.
"""

import logging
import traceback
from collections.abc import Iterator
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]
FORMAT = "%(asctime)s %(name)s %(message)s"


def configure(level: Level) -> None:
    """Write what this process logs to standard error: the product's own from this level on.

    Libraries speak from `warning` on, at any level: their messages are not ours to answer for.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter(FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("parcours").setLevel(level.upper())


class Formatter(logging.Formatter):
    """Writes errors without what they say."""

    def formatException(self, ei: object) -> str:
        """Return kinds and places of an error and of those it came from, the first cause first."""
        error = ei[1] if isinstance(ei, tuple) else None
        return "\n".join(reversed(list(_chain(error))))


def _chain(error: BaseException | None) -> Iterator[str]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        places = "".join(traceback.format_tb(error.__traceback__))
        yield f"{places}{type(error).__module__}.{type(error).__name__}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
