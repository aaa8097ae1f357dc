"""`parcours import`, `parcours migrate`: data in, schema up."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app.access import sources
from app.errors import ImportFailed
from app.imports import files, load, messages
from app.imports.xes import XesError


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON, Parquet or XES, also .gz.")],
    source: Annotated[str, typer.Option(help="The source it comes from.")],
    kind: Annotated[
        str | None, typer.Option(help="people or events; else told by the columns.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The column that names a person's record.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(help="Namespace of the record (people) or case (XES); crm_id, case_id."),
    ] = None,
    consent: Annotated[
        list[str] | None,
        typer.Option(help="A purpose to which, as you state, these people agreed; repeatable."),
    ] = None,
    evidence: Annotated[str, typer.Option(help="Where that agreement is written down.")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Import events or people; started again it goes on where it stopped, and nothing twice.

    Without --consent the data is stored, and may be used for no purpose that rests on consent.
    """
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions() as session:
            settings_of = sources.settings_of(sources.find(session, source))
        wanted = _messages(file, kind, id_column, namespace)
        columns = (SpinnerColumn(), TextColumn("{task.completed} rows"), TimeElapsedColumn())
        with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
            task = bar.add_task("import", total=None)
            try:
                report = load.load(
                    sessions,
                    settings_of,
                    wanted,
                    consents=consent or [],
                    evidence=evidence or f"import of {file.name}",
                    progress=lambda n: bar.update(task, completed=n),
                )
            except XesError as error:
                raise ImportFailed(f"{file.name}: {error}") from error
    answer = {
        "received": report.received,
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "rejected": dict(report.rejected),
        "examples": report.examples,
    }
    show(answer if as_json else [answer], as_json, *answer)
    if not consent and not as_json:
        err.print(
            "These people's consent was not stated (--consent): the data may be used for no "
            "purpose that rests on consent, such as analytics.audience or profile.link."
        )


def _messages(file: Path, kind: str | None, column: str | None, namespace: str | None) -> Any:
    """Return the messages of a file, of people or of events."""
    if files.format_of(file) == "xes":
        if not file.is_file():
            raise ImportFailed(f"{file}: no such file")
        return messages.journeys(file, namespace=namespace or "case_id")
    rows = files.rows(file)
    leading = _up_to_first_row(rows, file)
    if not leading:
        return iter(())
    first, rows = leading[-1], chain(leading, rows)
    if kind is None:
        names = {name.casefold() for name in first}
        kind = "events" if names & {"event", "type", "messageid", "message_id"} else "people"
    if kind == "events":
        return messages.events(rows, file=file.name)
    if kind != "people":
        raise ImportFailed(f"--kind is people or events, not {kind!r}")
    column = column or messages.id_column(first)
    if column is None or column not in first:
        raise ImportFailed(f"{file.name}: name the column of the record with --id-column")
    space = namespace or ("user_id" if column in ("user_id", "userId") else "crm_id")
    return messages.people(rows, column=column, namespace=space, now=datetime.now(UTC))


def _up_to_first_row(rows: Iterator[Any], file: Path) -> list[Any]:
    """Return the first row and the unreadable lines before it; nothing of an empty file."""
    leading: list[Any] = []
    for row in rows:
        leading.append(row)
        if isinstance(row, dict):
            return leading
    if leading:
        raise ImportFailed(f"{file.name}: no line of it is a JSON object")
    return []


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database schema up to date."""
    with opened(settings(data_dir)):
        err.print("the schema is up to date")
