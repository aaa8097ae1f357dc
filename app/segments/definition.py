"""What a segment says: conditions on traits and behaviour, put together with all, any and not."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationInfo,
    model_validator,
)

from app.profiles.conditions import Called, Events, Loc, Name, Operator, Strict, Wanted

#: Conditions in one rule: each is a join, in every step of the pipeline that touches somebody.
MOST_CONDITIONS = 200


#: Of a decision: what it comes to, or its reason (`consent.decide`).
ConsentState = Literal[
    "allowed", "denied", "given", "refused", "withdrawn", "unknown", "expired", "stale_notice",
    "unproven", "not_explicit", "restricted", "objection", "underage", "guardian_needed",
    "probable_link", "not_linkable",
]  # fmt: skip


class Trait(Strict):
    """A condition on the winning value of a trait, or on what is at a path in it.

    A person without the trait meets none but `exists` with false.
    """

    trait: Name = Field(min_length=1, max_length=512)
    op: Operator = "eq"
    value: Wanted = None


class Computed(Strict):
    """A condition on a computed trait of the segment's purpose.

    Who has no event that it is made of has 0 where it counts or sums, and otherwise no value.
    """

    computed: Name = Field(min_length=1, max_length=100)
    op: Operator = "eq"
    value: Wanted = None


class Count(Strict):
    """How often: at least, at most or exactly."""

    gte: int | None = Field(default=None, ge=0)
    lte: int | None = Field(default=None, ge=0)
    eq: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_bound(self, info: ValidationInfo) -> "Count":
        if all(bound is None for bound in (self.gte, self.lte, self.eq)):
            raise ValueError("state gte, lte or eq")
        if info.context:  # of a client's; one that is stored may say so
            least, most = self.gte or 0, self.lte
            if most is not None and least > most:
                raise ValueError(f"no count is at least {least} and at most {most}")
            if self.eq is not None and not self.allows(self.eq):
                raise ValueError(f"{self.eq} is not within gte and lte")
        return self

    def allows(self, count: int) -> bool:
        """Say whether a count meets the bounds."""
        return (
            (self.gte is None or count >= self.gte)
            and (self.lte is None or count <= self.lte)
            and (self.eq is None or count == self.eq)
        )


class Behaviour(Events):
    """A condition on events: how many such, lately."""

    count: Count = Count(gte=1)
    within_days: float | None = Field(default=None, gt=0, le=36_500)


class Step(Events):
    """One event of a sequence."""


class Sequence(Strict):
    """Events one after another, the first and the last at most `within_days` apart.

    None of `without` lies between the first and the last. A single event with `without` is one
    after which none of these came for `within_days`, which are over. `since_days` is how long ago
    the first may be.
    """

    sequence: tuple[Step, ...] = Field(min_length=1, max_length=10)
    without: tuple[Step, ...] = Field(default=(), max_length=10)
    within_days: float | None = Field(default=None, gt=0, le=36_500)
    since_days: float | None = Field(default=None, gt=0, le=36_500)

    @model_validator(mode="after")
    def _asks_something(self) -> "Sequence":
        if len(self.sequence) == 1 and not (self.without and self.within_days):
            raise ValueError("a sequence of one event needs without and within_days")
        return self


class Member(Strict):
    """Whoever meets the rule of another segment of the same purpose, as of now."""

    segment: str = Field(min_length=1, max_length=100)


class Listed(Strict):
    """Whoever was behind a number of an analysis: a list of people that never grows.

    The rest says which number it was; the question may be forgotten by now.
    """

    listed: str = Field(min_length=1, max_length=100)
    query_id: str = Field(max_length=60)
    bucket: str = Field(max_length=20_000)
    as_of: AwareDatetime


class Group(Strict):
    """A condition on a trait of an account or household that the person is in; any one counts.

    Of values of several sources the latest counts, of those told by who may be used. `exists` with
    false is whoever is in none that has it.
    """

    group_trait: Name = Field(min_length=1, max_length=512)
    group_type: Name | None = Field(default=None, min_length=1, max_length=100)
    op: Operator = "eq"
    value: Wanted = None


class Consent(Strict):
    """What is decided for another purpose, of the identifiers that may be used for the segment's.

    `allowed`: one of them may be used for it; `denied`: none may; anything else is the reason of
    the decision for at least one of them.
    """

    consent: str = Field(min_length=1, max_length=100)
    state: ConsentState = "allowed"


class Identity(Strict):
    """Whether a person is one by what was asserted, or by links of matching too."""

    identity: Literal["deterministic", "probable"]


class AtLeast(Strict):
    """A probability that is reached."""

    gte: float = Field(gt=0, le=1)


class Sureness(Strict):
    """How sure it is that a person is one: the probability of the weakest link they cannot lose.

    What was asserted is sure (1). Of several ways by which two parts were matched the best counts:
    the person would still be one without every match below `gte`.
    """

    identity_confidence: AtLeast


class All(Strict):
    """Every condition holds."""

    all: tuple["Rule", ...] = Field(min_length=1, max_length=50)


class Any_(Strict):
    """At least one condition holds."""

    any: tuple["Rule", ...] = Field(min_length=1, max_length=50)


class Not(Strict):
    """The condition does not hold."""

    not_: "Rule" = Field(alias="not")


#: The words by which conditions are told apart.
KINDS = (
    "all", "any", "not", "trait", "computed", "event", "sequence", "segment", "listed", "consent",
    "identity", "identity_confidence", "group_trait",
)  # fmt: skip


def _kind(value: Any) -> str | None:
    keys = value.keys() if isinstance(value, dict) else getattr(type(value), "model_fields", ())
    for tag in KINDS:
        if tag in keys or (tag == "not" and "not_" in keys):
            return tag
    return "event" if "type" in keys else None


Rule = Annotated[
    Annotated[All, Tag("all")]
    | Annotated[Any_, Tag("any")]
    | Annotated[Not, Tag("not")]
    | Annotated[Trait, Tag("trait")]
    | Annotated[Computed, Tag("computed")]
    | Annotated[Behaviour, Tag("event")]
    | Annotated[Sequence, Tag("sequence")]
    | Annotated[Member, Tag("segment")]
    | Annotated[Listed, Tag("listed")]
    | Annotated[Consent, Tag("consent")]
    | Annotated[Identity, Tag("identity")]
    | Annotated[Sureness, Tag("identity_confidence")]
    | Annotated[Group, Tag("group_trait")],
    Discriminator(
        _kind,
        custom_error_type="unknown_condition",
        custom_error_message=f"a condition is one of: {', '.join(KINDS)}",
    ),
]
All.model_rebuild()
Any_.model_rebuild()
Not.model_rebuild()
RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def place(loc: Loc) -> Loc:
    """Return where in a rule something is, of where pydantic was, which names kinds in between."""
    found: list[int | str] = []
    rest = list(loc)
    while len(rest) > 1:
        kind, key = rest.pop(0), rest.pop(0)
        found.append(key)
        if kind in ("all", "any") and rest:
            found.append(rest.pop(0))
        elif kind != "not":
            return (*found, *rest)
    return tuple(found)


def called(rule: Rule) -> Iterator[Called]:
    """Yield which events a condition asks for."""
    if isinstance(rule, Behaviour):
        yield rule.called
    elif isinstance(rule, Sequence):
        for step in (*rule.sequence, *rule.without):
            yield step.called


def walk(rule: Rule) -> Iterator[Rule]:
    """Yield a rule and everything inside it."""
    yield rule
    inner: tuple[Rule, ...] = ()
    if isinstance(rule, All):
        inner = rule.all
    elif isinstance(rule, Any_):
        inner = rule.any
    elif isinstance(rule, Not):
        inner = (rule.not_,)
    for part in inner:
        yield from walk(part)
