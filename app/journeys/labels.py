"""What people call the parts of a map, in the two languages of the product; pure."""

from typing import Self

from pydantic import model_validator

from app.journeys.frozen import Frozen


class LocalizedText(Frozen):
    """A text in the two languages of the product; at least one is present."""

    fr: str | None = None
    en: str | None = None

    @model_validator(mode="after")
    def _one_language(self) -> Self:
        if self.fr is None and self.en is None:
            raise ValueError("give fr, en or both")
        return self


Label = str | LocalizedText
