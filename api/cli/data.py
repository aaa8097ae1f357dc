"""`parcours import`, `parcours migrate`: data in, schema up."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app.access import sources
from app.errors import ImportFailed
from app.imports import columns, dates, files, guesses, load, messages, nested, sequences
from app.imports.xes import XesError

#: So many rows are read before the meaning of the columns is decided.
SAMPLE = 1_000


def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV, NDJSON, Parquet, XLSX or XES, also .gz or alone in a .zip.")
    ],
    source: Annotated[str, typer.Option(help="The source it comes from.")],
    kind: Annotated[
        str | None, typer.Option(help="people or events; else told by the columns.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The column that names the person, record or case.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(help="Namespace of what that column or the case (XES) is; else by its name."),
    ] = None,
    event_column: Annotated[
        str | None, typer.Option(help="The column that says what happened.")
    ] = None,
    event_name: Annotated[
        str | None, typer.Option(help="What happened, where no column says so: Order Completed.")
    ] = None,
    number_column: Annotated[
        list[str] | None, typer.Option(help="A column of numbers, as CSV has none; repeatable.")
    ] = None,
    names: Annotated[
        str, typer.Option("--columns", help="What they are called, by commas, if no line says so.")
    ] = "",
    time_column: Annotated[
        list[str] | None,
        typer.Option(
            help="The column that says when it happened; several: day and hour, or year, month, day"
            " (and hour, minute)."
        ),
    ] = None,
    order_column: Annotated[
        str | None,
        typer.Option(help="The column of whole numbers that orders what is of one time."),
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option("--on", formats=["%Y-%m-%d"], help="Of .seq: the day of it, as no line says."),
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(help="How times are written: %d/%m/%y %H:%M (strptime), seconds, …"),
    ] = None,
    date_order: Annotated[
        dates.Order | None, typer.Option(help="Of days such as 01/10/2019, else refused.")
    ] = None,
    consent: Annotated[
        list[str] | None,
        typer.Option(help="A purpose to which, as you state, these people agreed; repeatable."),
    ] = None,
    evidence: Annotated[str, typer.Option(help="Where that agreement is written down.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what each column becomes; store nothing.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Import events or people; started again it goes on where it stopped, and nothing twice.

    Without --consent the data is stored, and may be used for no purpose that rests on consent.
    For instance: parcours import log.xes.gz --source loans --consent analytics.audience --dry-run
    """
    wanted = _Options(
        kind, id_column, namespace, event_column, tuple(time_column or ()), time_format, date_order,
        event_name, tuple(number_column or ()), order_column, day,
        tuple(name.strip() for name in names.split(",")) if names else (),
    )  # fmt: skip
    if files.encoding(file) != files.UTF_8:
        err.print(f"not UTF-8: read as {files.encoding(file)}")
    if dry_run:
        found = _messages(file, wanted)
        try:
            report = load.look(found)
        except XesError as error:
            raise ImportFailed(f"{file.name}: {error}") from error
        _report(report, found, as_json, dry=True)
        return
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions() as session:
            settings_of = sources.settings_of(sources.find(session, source))
        found = _messages(file, wanted)
        parts = (SpinnerColumn(), TextColumn("{task.completed} rows"), TimeElapsedColumn())
        with Progress(*parts, console=err, disable=not err.is_terminal) as bar:
            task = bar.add_task("import", total=None)
            try:
                report = load.load(
                    sessions,
                    settings_of,
                    found,
                    consents=consent or [],
                    evidence=evidence or f"import of {file.name}",
                    progress=lambda n: bar.update(task, completed=n),
                )
            except XesError as error:
                raise ImportFailed(f"{file.name}: {error}") from error
    _report(report, found, as_json, dry=False)
    if not consent and not as_json:
        err.print(
            "These people's consent was not stated (--consent): the data may be used for no "
            "purpose that rests on consent, such as analytics.audience or profile.link."
        )


def _report(report: load.Report, found: Any, as_json: bool, *, dry: bool) -> None:
    """Print what became of the rows, and what the columns of events were taken for."""
    answer: dict[str, Any] = {
        "received": report.received,
        "readable" if dry else "accepted": report.accepted,
        "duplicates": report.duplicates,
        "rejected": dict(report.rejected),
        "examples": report.examples,
    }
    if dry:
        del answer["duplicates"]
        answer |= {"first": report.first, "last": report.last}
    shown = list(answer)
    if isinstance(found, messages.Events):
        about = found.columns.about(found.seen)
        answer["columns"] = about
        # Nothing is known of these but their names; they are kept as properties.
        answer["not_understood"] = [c for c, as_ in about.items() if as_.startswith("property ")]
        if not as_json:
            show([{"column": c, "becomes": as_} for c, as_ in about.items()], False,
                 "column", "becomes")  # fmt: skip
    show(answer if as_json else [answer], as_json, *shown)


@dataclass(frozen=True, slots=True)
class _Options:
    """What the command line says of a file."""

    kind: str | None
    id_column: str | None
    namespace: str | None
    event_column: str | None
    time_columns: tuple[str, ...]
    time_format: str | None
    date_order: dates.Order | None
    event_name: str | None
    numeric: tuple[str, ...] = ()
    order_column: str | None = None
    day: datetime | None = None
    names: tuple[str, ...] = ()


def _messages(file: Path, said: _Options) -> Any:
    """Return the messages of a file, of people or of events."""
    form = files.format_of(file)
    _check(file, form, said)
    if form == "xes":
        if not file.is_file():
            raise ImportFailed(f"{file}: no such file")
        return messages.journeys(file, namespace=said.namespace or "case_id")
    if form == "seq":
        return sequences.messages(file, day=said.day, namespace=said.namespace or "case_id")
    rows = nested.unfolded(files.rows(file, said.names))
    leading = _sample(rows, file)
    if not leading:
        return iter(())
    rows, sample = chain(leading, rows), [row for row in leading if isinstance(row, dict)]
    named = (*files.columns(file, said.names), *(name for row in sample for name in row))
    names = list(dict.fromkeys(named))
    other = guesses.foreign(names, sample)
    kind = said.kind
    if kind is None:
        told = said.event_column or said.event_name or said.time_columns
        as_events = told or columns.looks_like_events(names, other)
        kind = "events" if as_events else "people"
    if kind == "events":
        return _events(file, said, rows, names, sample, other)
    if kind != "people":
        raise ImportFailed(f"--kind is people or events, not {kind!r}")
    column = said.id_column or messages.id_column(names)
    if said.kind is None:
        guesses.check_people(file.name, names, sample, column)
    if column is None or column not in names:
        raise ImportFailed(
            f"{file.name}: name the column of the record with --id-column; there are"
            f" {', '.join(names)}"
        )
    own = column == columns.called("user_id", [column])
    space = said.namespace or ("user_id" if own else columns.namespace_of(column) or "crm_id")
    return messages.people(rows, column=column, namespace=space, now=datetime.now(UTC))


def _events(
    file: Path,
    said: _Options,
    rows: Iterator[Any],
    names: list[str],
    sample: list[dict[str, Any]],
    other: list[str],
) -> messages.Events:
    """Return the events of a table; raises ImportFailed where all rows would be refused."""
    understood = partial(
        columns.understand,
        time=said.time_columns,
        sequence=said.order_column,
        event=said.event_column,
        person=said.id_column,
        namespace=said.namespace,
        foreign=other,
    )
    found = understood(names)
    order = said.date_order
    if order is None and said.time_format is None:
        order = guesses.order(found, sample)
        if order is not None:
            err.print(f"days are read {order}, as some of them show; --date-order says otherwise")
    reader = dates.reader(said.time_format, order)
    named = said.event_name is not None
    guesses.check_events(file.name, found, sample, reader, named=named)
    return messages.Events(
        rows,
        file=file.name,
        names=names,
        understood=understood,
        reader=reader,
        called=said.event_name,
        numeric=said.numeric,
    )


def _check(file: Path, form: str, said: _Options) -> None:
    """Refuse what is said of a file of another format, where it would mean nothing."""
    if said.day is not None and form != "seq":
        raise ImportFailed(f"{file.name}: --on is of sequences; other files say when it happened")
    if said.names and form != "csv":
        raise ImportFailed(f"{file.name}: --columns are of CSV and other text")
    of_tables = {
        "--id-column": said.id_column, "--event-column": said.event_column,
        "--event-name": said.event_name, "--time-column": said.time_columns,
        "--order-column": said.order_column, "--number-column": said.numeric,
        "--time-format": said.time_format, "--date-order": said.date_order,
    }  # fmt: skip
    for option, value in of_tables.items():
        if value and form in ("xes", "seq"):
            raise ImportFailed(f"{file.name}: {option} is of tables; {form} says that itself")


def _sample(rows: Iterator[Any], file: Path) -> list[Any]:
    """Return the first rows, with the unreadable lines among them; nothing of an empty file."""
    leading: list[Any] = []
    for row in rows:
        leading.append(row)
        if len(leading) >= SAMPLE and isinstance(row, dict):
            return leading
    if leading and not any(isinstance(row, dict) for row in leading):
        raise ImportFailed(
            f"{file.name}: no line of it is a JSON object, nor is it an array of them"
        )
    return leading


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database schema up to date."""
    with opened(settings(data_dir)):
        err.print("the schema is up to date")
