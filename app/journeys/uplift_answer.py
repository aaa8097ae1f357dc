"""What an answer about uplift says; pure."""

from typing import Literal

from pydantic import AwareDatetime

from app.journeys.compare_answer import SampleRatio
from app.journeys.definition import Frozen

#: Of all that is drawn by lot: folds, ties, the bootstrap, the ranking by chance.
SEED = 1


class UpliftSemantics(Frozen):
    """Every choice behind the numbers of uplift."""

    unit: Literal["profile"] = "profile"
    model: Literal["a logistic regression of each arm, ridge 1; uplift is their difference"] = (
        "a logistic regression of each arm, ridge 1; uplift is their difference"
    )
    scored_by: Literal["models of the other four fifths of the people"] = (
        "models of the other four fifths of the people"
    )
    qini: Literal["area between the curve and chance, per person treated; bootstrap, 95 %"] = (
        "area between the curve and chance, per person treated; bootstrap, 95 %"
    )
    refused: Literal["fewer than `least` of an arm who came to the outcome, or who did not"] = (
        "fewer than `least` of an arm who came to the outcome, or who did not"
    )
    window: str
    least: int
    seed: int = SEED
    evidence: Literal["randomised"] = "randomised"


class Arm(Frozen):
    """Who was treated, or was not: how many of them came to the outcome."""

    n: int
    k: int
    share: float | None
    bucket: str


class Effect(Frozen):
    """What the treatment changes of the share that comes to the outcome; Newcombe's interval."""

    difference: float
    interval: tuple[float, float]
    test: str
    statistic: float | None
    p: float


class Ranking(Frozen):
    """Qini's coefficient of a ranking, with its interval, and its curve in hundredths."""

    qini: float
    interval: tuple[float, float]
    curve: tuple[float, ...]


class UpliftBand(Frozen):
    """A tenth of the people, band 1 those who should be changed most.

    `predicted` is the mean of the scores, `difference` what came; null where an arm is empty.
    """

    band: int
    n: int
    predicted: float
    treated: Arm
    control: Arm
    difference: float | None
    interval: tuple[float, float] | None
    bucket: str


class UpliftResult(Frozen):
    """An answer about uplift.

    `ranking` is of the scores, `chance` of as many people drawn by lot. `finds` says whether the
    scores find who is changed: their interval lies above zero. `refused` says why there are none.
    """

    semantics: UpliftSemantics
    treated: Arm
    control: Arm
    effect: Effect | None
    sample_ratio: SampleRatio | None
    in_progress: int
    refused: str | None
    features: tuple[str, ...]
    ranking: Ranking | None
    chance: Ranking | None
    finds: bool | None
    bands: tuple[UpliftBand, ...]
    as_of: AwareDatetime
    definition_hash: str
