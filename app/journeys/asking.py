"""What only the asking of a question needs; the rest is the question, and makes its hash. Pure."""

from typing import Any

from pydantic import Field

from app.journeys.definition import Frozen
from app.journeys.funnel_request import Instant

ASIDE = {"journey", "purpose", "as_of"}


class Asking(Frozen):
    """A question with the purpose it serves, and when its answer is to be true."""

    purpose: str | None = Field(default=None, max_length=100)
    as_of: Instant | None = None

    def said(self) -> dict[str, Any]:
        """Return the question without what only the asking needs."""
        return self.model_dump(by_alias=True, exclude=ASIDE, exclude_unset=True)
