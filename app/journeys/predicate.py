"""A match said in DuckDB SQL, and the ordered events that every analysis starts from.

Nothing a person wrote becomes SQL text: names, values and paths are bound parameters.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from app.journeys.match import TYPES_OF_TRAITS, Match, Scalar

_COMPARISON = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Whether what an event says are traits, of people or accounts: those are asked for as traits, by
#: who may read them, and neither labels nor numbers are made of them.
OF_TRAITS = f"coalesce(type IN ({', '.join(map(repr, TYPES_OF_TRAITS))}), false)"
#: What an event says as properties, NULL where it says traits.
SAID = f"CASE WHEN NOT {OF_TRAITS} THEN properties END"
#: Amounts beyond it are mistakes: a sum of doubles would lose everybody else's.
MOST = 1e15


@dataclass(slots=True)
class Parameters:
    """The values of one statement; `bind` hands out the placeholder that stands for each."""

    values: dict[str, object] = field(default_factory=dict)

    def bind(self, value: object) -> str:
        """Keep a value and return its placeholder, such as `$p3`."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def microseconds(moment: datetime) -> int:
    """Return an aware datetime as whole microseconds since 1970 in UTC, without rounding.

    Raises ValueError for a datetime without a zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone is ambiguous")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def json_pointer(path: str) -> str:
    """Return a dotted path as a JSON Pointer (RFC 6901), the form DuckDB reads without wildcards.

    DuckDB's `$.a.b` form would give `*` and quotes in a key a meaning of their own.
    """
    parts = (part.replace("~", "~0").replace("/", "~1") for part in path.split("."))
    return "".join(f"/{part}" for part in parts)


def sql(match: Match, parameters: Parameters) -> str:
    """Return a boolean DuckDB expression over a row of `event`, never NULL.

    It reads the columns type, name, source and properties; same answers as
    `match.matches`.
    """
    parts = [
        f"coalesce({column} = {parameters.bind(wanted)}, false)"
        for column, wanted in (
            ("name", match.event),
            ("type", match.type),
            ("source", match.source),
        )
        if wanted is not None
    ]
    if match.prop is not None:
        fits = f"coalesce({_property(match, match.prop, parameters)}, false)"
        parts.append(fits if match.type is not None else _of_no_traits(match, fits))
    parts += [sql(inner, parameters) for inner in match.all or ()]
    if match.any is not None:
        parts.append("(" + " OR ".join(sql(inner, parameters) for inner in match.any) + ")")
    if match.not_ is not None:
        parts.append(f"(NOT {sql(match.not_, parameters)})")
    return "(" + " AND ".join(parts) + ")"


def _of_no_traits(match: Match, fits: str) -> str:
    """Of an event that says traits a property is missing, which some tests ask for."""
    missing = match.op == "ne" or (match.op == "exists" and match.value is False)
    return f"({OF_TRAITS} OR {fits})" if missing else f"(NOT {OF_TRAITS} AND {fits})"


def _property(match: Match, path: str, parameters: Parameters) -> str:
    # One json_extract per expression: DuckDB computes the repeated text once, so that the
    # document is parsed once and the small fragment twice (its type, its text).
    found = f"json_extract(properties, {parameters.bind(json_pointer(path))})"
    value = match.value
    if match.op == "exists":
        exists = f"coalesce(json_type({found}) <> 'NULL', false)"
        return exists if value is not False else f"NOT {exists}"
    values = value if isinstance(value, tuple) else (value,)
    bound = [(item, parameters.bind(_bindable(item))) for item in values if item is not None]
    if match.op in _COMPARISON:
        return _typed(found, *bound[0], comparison=_COMPARISON[match.op])
    if match.op == "contains":
        return _contains(found, *bound[0])
    equal = " OR ".join(f"coalesce({_typed(found, *item)}, false)" for item in bound)
    return f"NOT ({equal})" if match.op == "ne" else f"({equal})"


def _bindable(value: Scalar | None) -> object:
    """Numbers go in as doubles, the type they are compared in; true and false as JSON text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return float(value) if isinstance(value, int | float) else value


def _typed(found: str, value: Scalar, placeholder: str, comparison: str = "=") -> str:
    """Compare a JSON fragment with a value of the same JSON type; false for any other type."""
    text = f"json_extract_string({found}, '$')"
    if isinstance(value, bool):
        return f"(json_type({found}) = 'BOOLEAN' AND {text} {comparison} {placeholder})"
    if isinstance(value, str):
        return f"(json_type({found}) = 'VARCHAR' AND {text} {comparison} {placeholder})"
    number = f"try_cast({text} AS DOUBLE)"
    return (
        f"(json_type({found}) IN ('BIGINT', 'UBIGINT', 'DOUBLE') AND isfinite({number})"
        f" AND {number} {comparison} {placeholder})"
    )


def _contains(found: str, value: Scalar, placeholder: str) -> str:
    element = _typed("item", value, placeholder)
    within = (
        f"contains(json_extract_string({found}, '$'), {placeholder})"
        if isinstance(value, str)
        else "false"
    )
    return (
        f"CASE json_type({found}) WHEN 'VARCHAR' THEN {within} WHEN 'ARRAY' THEN"
        f" len(list_filter(json_extract({found}, '$[*]'), lambda item: {element})) > 0"
        " ELSE false END"
    )


def number_at(path: str, parameters: Parameters, *, said: str = "properties") -> str:
    """Return a property as a finite double, NULL where it is no number: the text "12.5" is none."""
    found = f"json_extract({said}, {parameters.bind(json_pointer(path))})"
    number = f"try_cast(json_extract_string({found}, '$') AS DOUBLE)"
    kinds = "('BIGINT', 'UBIGINT', 'DOUBLE')"
    return f"CASE WHEN json_type({found}) IN {kinds} AND abs({number}) < {MOST} THEN {number} END"


def moment(value: datetime, parameters: Parameters) -> str:
    """Return a TIMESTAMPTZ expression for a bound moment; folded once, so files are pruned."""
    return f"make_timestamptz({parameters.bind(microseconds(value))}::BIGINT)"


def known(as_of: datetime, parameters: Parameters) -> str:
    """Return the condition «already happened and already received at `as_of`».

    A late event therefore changes today's answer but never the answer as of yesterday.
    """
    instant = moment(as_of, parameters)
    return f"(occurred_at <= {instant} AND received_at <= {instant})"


def during(
    start: datetime | None, end: datetime | None, parameters: Parameters, *, at: str = "t"
) -> str:
    """Return the condition that `at`, in microseconds, is from `start` on and before `end`."""
    tests = [
        f"{at} {than} {parameters.bind(microseconds(bound))}::BIGINT"
        for than, bound in ((">=", start), ("<", end))
        if bound is not None
    ]
    return " AND ".join(tests) or "true"


POSITION = """row_number() OVER (
    PARTITION BY person_id
    ORDER BY occurred_at, source NULLS LAST, source_seq NULLS LAST, received_at, event_id
)"""
"""A person's events as 1, 2, 3 …: ties in time keep their source's order (research §4.0)."""
