"""`parcours source …`: the websites and apps that send events."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from api.cli.options import GREATEST, duration
from api.cli.session import AsJson, DataDir, opened, settings, show
from api.routes.sources import all_out, key_out
from app.access import definition, sources, write_keys
from app.access.definition import DEFAULT_COLLECTION_PURPOSE, SourceDefinition

source = typer.Typer(help="Websites and apps that send events.", no_args_is_help=True)


def _help(name: str) -> str:
    return SourceDefinition.model_fields[name].description or ""


Purpose = Annotated[str | None, typer.Option(help=_help("collection_purpose"))]
Stamp = Annotated[
    bool | None,
    typer.Option(
        "--stamp-is-evidence/--no-stamp-is-evidence",
        help="Record what the consent object of each event says.",
    ),
]
Category = Annotated[
    list[str] | None,
    typer.Option(help="A consent category of this source: NAME=PURPOSE[,PURPOSE…]; repeat."),
]
Origin = Annotated[
    list[str] | None,
    typer.Option(
        "--origin", help="An origin whose pages may send; repeat. https://*.example.com works."
    ),
]
MaxEvent = Annotated[int | None, typer.Option(help=_help("max_event_bytes"))]
MaxBatch = Annotated[int | None, typer.Option(help=_help("max_batch_bytes"))]
MaxEvents = Annotated[int | None, typer.Option(help=_help("max_batch_events"))]
Rate = Annotated[float | None, typer.Option(help=_help("events_per_second"))]
Burst = Annotated[int | None, typer.Option(help=_help("burst"))]
Pending = Annotated[
    str | None,
    typer.Option("--pending", help="Hold events for the visitor's answer so long: 30m, 24h, 0."),
]
ServerSide = Annotated[
    bool | None,
    typer.Option(
        "--server-side/--no-server-side",
        help="The write key is kept on servers that know whom they speak of: what it says lifts "
        "withdrawals.",
    ),
]
Label = Annotated[str, typer.Option(help="What the key is for.")]


def _given(
    collection_purpose: str | None,
    stamp_is_evidence: bool | None,
    category: list[str] | None,
    origin: list[str] | None,
    max_event_bytes: int | None,
    max_batch_bytes: int | None,
    max_batch_events: int | None,
    events_per_second: float | None,
    burst: int | None,
    pending: str | None,
    server_side: bool | None,
) -> dict[str, Any]:
    """Return the settings that the command line names."""
    given = {
        "collection_purpose": collection_purpose,
        "stamp_is_evidence": stamp_is_evidence,
        "categories": _categories(category) if category else None,
        "allowed_origins": origin or None,
        "max_event_bytes": max_event_bytes,
        "max_batch_bytes": max_batch_bytes,
        "max_batch_events": max_batch_events,
        "events_per_second": events_per_second,
        "burst": burst,
        "pending_seconds": None if pending is None else int(duration(pending).total_seconds()),
        "server_side": server_side,
    }
    return {name: value for name, value in given.items() if value is not None}


def _categories(entries: list[str]) -> dict[str, list[str]]:
    """Read `NAME=PURPOSE[,PURPOSE…]`, several for one name too."""
    categories: dict[str, list[str]] = {}
    for entry in entries:
        name, _, said = entry.partition("=")
        purposes = [purpose.strip() for purpose in said.split(",") if purpose.strip()]
        if not name.strip() or not purposes:
            # It would look like the answer of a banner, and decide nothing: a refusal is lost.
            raise typer.BadParameter(f"{entry!r} is no category; write NAME=PURPOSE[,PURPOSE…]")
        categories.setdefault(name, []).extend(purposes)
    return categories


@source.command("add")
def add_source(
    name: str,
    collection_purpose: Purpose = DEFAULT_COLLECTION_PURPOSE,
    stamp_is_evidence: Stamp = True,
    category: Category = None,
    origin: Origin = None,
    max_event_bytes: MaxEvent = None,
    max_batch_bytes: MaxBatch = None,
    max_batch_events: MaxEvents = None,
    events_per_second: Rate = None,
    burst: Burst = None,
    pending: Pending = None,
    server_side: ServerSide = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a source and print its write key, once."""
    given = _given(
        collection_purpose,
        stamp_is_evidence,
        category,
        origin,
        max_event_bytes,
        max_batch_bytes,
        max_batch_events,
        events_per_second,
        burst,
        pending,
        server_side,
    )
    configuration = settings(data_dir)
    with opened(configuration) as sessions, sessions.begin() as session:
        largest = configuration.max_body_bytes
        sources.check(session, definition.read(given), largest_body=largest)
        made, key = sources.add(session, name, **given)
        answer = {"name": made.name, "id": made.id, "write_key": key}
    show(answer if as_json else [answer], as_json, "name", "id", "write_key")


@source.command("set")
def set_source(
    name: str,
    collection_purpose: Purpose = None,
    stamp_is_evidence: Stamp = None,
    category: Category = None,
    origin: Origin = None,
    max_event_bytes: MaxEvent = None,
    max_batch_bytes: MaxBatch = None,
    max_batch_events: MaxEvents = None,
    events_per_second: Rate = None,
    burst: Burst = None,
    pending: Pending = None,
    server_side: ServerSide = None,
    reset: Annotated[
        list[str] | None,
        typer.Option(help="A setting to take back to its default, such as burst; repeat."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change settings of a source; running servers follow within 2 seconds.

    Origins and categories replace those that were there.
    """
    given = _given(
        collection_purpose,
        stamp_is_evidence,
        category,
        origin,
        max_event_bytes,
        max_batch_bytes,
        max_batch_events,
        events_per_second,
        burst,
        pending,
        server_side,
    )
    configuration = settings(data_dir)
    with opened(configuration) as sessions, sessions.begin() as session:
        found = sources.find(session, name)
        changes = {**_defaults(reset or []), **given}
        sources.change(session, found, changes, largest_body=configuration.max_body_bytes)
        session.flush()
        [answer] = all_out(session, [found])
    _show(answer, as_json)


def _defaults(reset: list[str]) -> dict[str, Any]:
    """Return the defaults of the settings that are to be taken back."""
    short = {"origin": "allowed_origins", "category": "categories", "pending": "pending_seconds"}
    names = [short.get(name, name.replace("-", "_")) for name in reset]
    for name in names:
        if name not in SourceDefinition.model_fields:
            raise typer.BadParameter(
                f"{name!r} is none of {', '.join(SourceDefinition.model_fields)}"
            )
    plain = SourceDefinition().model_dump()
    return {name: plain[name] for name in names}


@source.command("list")
def list_sources(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the sources, with what came in the last hour."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = all_out(session, sources.list_all(session))
    if not as_json:
        rows = [
            {
                **row,
                "accepted, 1 h": row["last_hour"]["accepted"],
                "rejected, 1 h": sum(row["last_hour"]["rejected"].values()),
                "last seen": _moment(row["last_seen"]),
            }
            for row in rows
        ]
    counted = ("accepted, 1 h", "rejected, 1 h", "last seen")
    show(rows, as_json, "id", "name", "collection_purpose", *counted)


@source.command("show")
def show_source(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the settings of a source, its keys, and what came in the last hour and day."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        [answer] = all_out(session, [sources.find(session, name)])
    _show(answer, as_json)


@source.command("keys")
def list_keys(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the write keys of a source; the hint is the end of a key."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = sources.find(session, name)
        keys = write_keys.list_all(session, found.id, now=datetime.now(UTC))
    _show_keys([key_out(key) for key in keys], as_json)


@source.command("add-key")
def add_key(
    name: str, label: Label = "", data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Give a source one more write key and print it, once."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        key, text = write_keys.add(session, sources.find(session, name).id, label=label)
        answer = {"name": name, "key_id": key.id, "write_key": text}
    show(answer if as_json else [answer], as_json, "name", "key_id", "write_key")


@source.command("rotate-key")
def rotate_key(
    name: str,
    keep: Annotated[str, typer.Option(help="How long the other keys go on: 30m, 24h, 7d.")] = "24h",
    now: Annotated[bool, typer.Option("--now", help="End the other keys at once.")] = False,
    label: Label = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give a source a new write key and print it, once; its other keys end after a while."""
    kept = timedelta() if now else duration(keep)
    at = datetime.now(UTC)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = sources.find(session, name)
        _, text = write_keys.rotate(session, found.id, keep=kept, now=at, label=label)
    answer = {"name": name, "write_key": text, "others_end_at": at + kept}
    show(answer if as_json else [answer], as_json, "name", "write_key", "others_end_at")


@source.command("remove-key")
def remove_key(
    name: str,
    key_id: Annotated[
        int, typer.Argument(min=1, max=GREATEST, help="The id that `source keys` shows.")
    ],
    data_dir: DataDir = None,
) -> None:
    """End a write key; servers refuse it within 2 seconds."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = sources.find(session, name)
        write_keys.remove(session, found.id, key_id, now=datetime.now(UTC))


@source.command("remove")
def remove_source(name: str, data_dir: DataDir = None) -> None:
    """Stop accepting events from a source; what it sent stays."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        sources.remove(session, sources.find(session, name))


def _show(answer: dict[str, Any], as_json: bool) -> None:
    """Print a source: as JSON, or its settings, counters and keys as tables."""
    if as_json:
        show(answer, as_json)
        return
    apart = ("keys", "held_now", "last_hour", "last_day")
    held = answer["held_now"]
    plain = {k: v for k, v in answer.items() if k not in apart}
    plain |= {"held now": held["events"], "held since": held["oldest"]}
    rows = [{"setting": name, "value": _plain(value)} for name, value in plain.items()]
    show(rows, as_json, "setting", "value")
    hour, day = _flat(answer["last_hour"]), _flat(answer["last_day"])
    names = list(dict.fromkeys([*day, *hour]))
    counts = [{"events": n, "last hour": hour.get(n, 0), "last day": day.get(n, 0)} for n in names]
    show(counts, as_json, "events", "last hour", "last day")
    _show_keys(answer["keys"], as_json)


def _show_keys(keys: list[dict[str, Any]], as_json: bool) -> None:
    if not as_json:
        moments = ("created_at", "expires_at", "last_used_at")
        keys = [{**key, **{name: _moment(key[name]) for name in moments}} for key in keys]
    show(keys, as_json, "id", "label", "hint", "created_at", "expires_at", "last_used_at")


def _flat(counts: dict[str, Any]) -> dict[str, int]:
    """Return counters in one level: rejected and destroyed events by their reason."""
    flat: dict[str, int] = {}
    for name, value in counts.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{name}: {reason}" if reason else name: events for reason, events in parts}
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, dict):
        return "; ".join(f"{k}={','.join(v)}" for k, v in value.items())
    return "-" if value is None or value == [] else value


def _moment(value: datetime | None) -> str | None:
    return value.isoformat(sep=" ", timespec="seconds") if value else None
