"""What an analysis is to the product: what it is asked, what it answers, who is behind a number."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
from pydantic import BaseModel

from app.journeys.attributes import Attribute

Connection = duckdb.DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Kind:
    """One analysis: what it is asked, what it answers, and who is behind a number of it."""

    request: type[BaseModel]
    compute: Callable[[Connection, Any, datetime], BaseModel]
    behind: Callable[[Connection, Any, datetime, str], list[int]]
    caveats: Callable[[Any], list[str]] = lambda _: []
    #: Names in a saved journey may be of events that are still to come.
    spelling: bool = True
    #: What it needs to know of people beside their events.
    attributes: Callable[[Any], Collection[Attribute]] = lambda _: ()
    #: What it says of each person, beside that they are behind a number.
    about: (
        Callable[[Connection, Any, datetime, Sequence[int]], dict[int, dict[str, Any]]] | None
    ) = None
