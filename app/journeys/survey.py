"""An instrument by which people say how it went: a question, its scale, its words; pure."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.journeys.frozen import Duration, Frozen
from app.journeys.match import Match

Instrument = Literal["nps", "csat", "ces", "sentiment", "fcr"]
#: The usual scales: Reichheld 2003; a five-point scale; CES 2.0 has seven points, and here more is
#: more effort, as in the question of Dixon, Freeman and Toman 2010. Sentiment is from -1 to 1, as
#: speech and text services give it, first contact resolution a yes or no.
SCALES: dict[Instrument, tuple[float, float]] = {
    "nps": (0, 10),
    "csat": (1, 5),
    "ces": (1, 7),
    "sentiment": (-1, 1),
    "fcr": (0, 1),
}
#: What words stand for where nothing else is said; JSON's true and false are words here.
LABELS: dict[Instrument, dict[str, float]] = {
    "sentiment": {
        "positive": 1.0, "positif": 1.0, "négatif": -1.0, "negative": -1.0,
        "neutral": 0.0, "neutre": 0.0, "mixed": 0.0, "mitigé": 0.0,
    },
    "fcr": {"true": 1.0, "yes": 1.0, "oui": 1.0, "false": 0.0, "no": 0.0, "non": 0.0},
}  # fmt: skip

Score = Annotated[float, Field(ge=-1e9, le=1e9)]
Word = Annotated[str, Field(min_length=1, max_length=100)]


class Survey(Frozen):
    """Answers to a question: where the score is, on which scale, and how late it may come.

    An answer belongs to the last touchpoint before it, `max_lag` earlier at most (`link` `before`).
    With `itself` it belongs to the touchpoint that it is, as a call with its sentiment, and where
    it is none to the last one before it. Sentiment is linked so, if nothing else is said, and comes
    with the event: nothing here reads texts. `labels` are what words stand for, in any case.
    """

    instrument: Instrument
    match: Match
    prop: str = Field(default="score", min_length=1, max_length=300)
    scale: tuple[Score, Score] | None = None
    labels: dict[Word, Score] | None = Field(default=None, max_length=100)
    link: Literal["before", "itself"] | None = None
    max_lag: Duration = timedelta(days=7)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"/scale: from {low:g} to {high:g} there is nothing to score")
        if self.instrument in ("nps", "fcr") and (low, high) != SCALES[self.instrument]:
            raise ValueError(
                "/scale: the Net Promoter Score is asked from 0 to 10"
                if self.instrument == "nps"
                else "/scale: first contact resolution is a yes (1) or a no (0)"
            )
        for word, score in self.words.items():
            if not low <= score <= high:
                raise ValueError(f"/labels/{word}: {score:g} is not from {low:g} to {high:g}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest score."""
        return self.scale or SCALES[self.instrument]

    @property
    def words(self) -> dict[str, float]:
        """What words stand for, in lower case."""
        low, high = self.bounds
        if self.labels is None:
            usual = LABELS.get(self.instrument, {})
            return usual if (low, high) == SCALES[self.instrument] else {}
        return {word.strip().lower(): score for word, score in self.labels.items()}

    @property
    def itself(self) -> bool:
        """Whether an answer may be the touchpoint that it is about."""
        return (self.link or ("itself" if self.instrument == "sentiment" else "before")) == "itself"
