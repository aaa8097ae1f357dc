"""`parcours journey …`: maps of journeys, as workbooks and JSON files, and what changed in them."""

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.errors import DefinitionInvalid, JourneyNotFound, MapUnreadable
from app.journeys import catalogue, shelf, workbook
from app.journeys.definition import Journey
from app.journeys.difference import difference
from app.journeys.provenance import who_says
from app.journeys.templates import TEMPLATES

journey = typer.Typer(help="Maps of journeys.", no_args_is_help=True)

COLUMNS = ("key", "version", "purpose", "stages", "channels", "touchpoints")
Key = Annotated[str, typer.Argument(help="The key of a journey, or KEY@VERSION.")]


def _line(version: int | None, journey: Journey) -> dict[str, Any]:
    counts = {name: len(getattr(journey, name)) for name in ("stages", "channels", "touchpoints")}
    return {"key": journey.key, "version": version, "purpose": journey.purpose, **counts}


@journey.command("list")
def list_journeys(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the journeys in their newest version."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [_line(row.version, found) for row, found in catalogue.list_all(session)]
    show(rows, as_json, *COLUMNS)


@journey.command("templates")
def list_templates(as_json: AsJson = False) -> None:
    """List the journeys to start from; `journey start` writes one to a file."""
    found = [Journey.model_validate(template) for template in TEMPLATES]
    show([_line(None, each) for each in found], as_json, *COLUMNS)


@journey.command("start")
def start(
    template: Annotated[str, typer.Argument(help="One of `journey templates`.")],
    out: Annotated[Path, typer.Option("--out", help="The file: .xlsx or .json.")],
    key: Annotated[str | None, typer.Option("--key", help="Its key instead.")] = None,
) -> None:
    """Write a template to a file, to be changed and imported."""
    found = next((each for each in TEMPLATES if each["key"] == template), None)
    if found is None:
        raise JourneyNotFound(f"no template {template!r}")
    _write(out, Journey.model_validate({**found, "key": key or found["key"]}))


@journey.command("export")
def export(
    key: Annotated[str, typer.Argument(help="The key of a journey, KEY@VERSION or KEY@whole.")],
    out: Annotated[
        Path, typer.Option("--out", help="The map: .xlsx, .json. Or its events: .xes, .xes.gz.")
    ],
    purpose: Annotated[
        str | None, typer.Option("--purpose", help="Of a log: what it is for, if not the map's.")
    ] = None,
    profiles: Annotated[
        bool, typer.Option("--profiles", help="Of a log: call cases after profiles, not numbers.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Write a journey to a workbook or a JSON file, from which it is imported without loss.

    Or the events of its touchpoints as a log (XES, IEEE 1849-2016), a case for each person who
    allows the purpose.
    """
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions() as session:
            found = catalogue.named(session, key)[1]
        if not out.name.endswith((".xes", ".xes.gz")):
            _write(out, found)
            return
        from app.journeys import logged  # noqa: PLC0415  # DuckDB and Arrow: loaded for logs alone

        opens: Any = gzip.open if out.suffix == ".gz" else open
        with opens(out, "wb") as handle:
            logged.log(
                sessions,
                configuration.lake_dir,
                found,
                handle,
                purpose=purpose or found.purpose,
                as_of=None,
                named=profiles,
            )
    typer.echo(f"{out}: {found.key}")


@journey.command("import")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".xlsx or .json.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Save the journey of a file as the next version of its key; an equal one changes nothing."""
    found = _read(file)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        version = catalogue.save(session, found).version
    row = _line(version, found)
    show(row if as_json else [row], as_json, *COLUMNS)


@journey.command("diff")
def diff(
    key: Annotated[str, typer.Argument(help="The key of a journey.")],
    before: Annotated[int, typer.Argument(help="The version that is compared.")],
    after: Annotated[int | None, typer.Argument(help="With this one, or the newest.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what differs between two versions of a journey."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        old = catalogue.find(session, f"{key}@{before}")[0].definition
        new = catalogue.find(session, key if after is None else f"{key}@{after}")[0].definition
    rows = [asdict(each) for each in difference(old, new)]
    show(rows, as_json, "path", "kind", "before", "after")


@journey.command("provenance")
def provenance(key: Key, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List every field of a map with who says so, and since which version it is as it is."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        newest = catalogue.find(session, key)[0]
        past = [
            (one.version, one.created_at, one.definition)
            for one in catalogue.versions(session, newest.key)
            if one.version <= newest.version
        ]
    rows = [asdict(each) for each in who_says(past)]
    show(rows, as_json, "path", "source", "by", "on", "n", "version")


@journey.command("freeze")
def freeze(
    key: Annotated[str, typer.Argument(help="The key of a journey.")],
    version: Annotated[int, typer.Argument(min=1, help="The version that becomes the reference.")],
    by: Annotated[str, typer.Option("--by", help="Who says so.")],
    data_dir: DataDir = None,
) -> None:
    """Make a version the reference: nobody saves another one until it is released."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        catalogue.hold(session, key)
        found = catalogue.find(session, f"{key}@{version}")[1]
        shelf.freeze(session, key, version, found, by=by)
    typer.echo(f"{key}@{version} is the reference")


@journey.command("release")
def release(
    key: Annotated[str, typer.Argument(help="The key of a journey.")], data_dir: DataDir = None
) -> None:
    """Let a journey that has a reference be changed again."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        catalogue.hold(session, key)
        shelf.release(session, key)
    typer.echo(f"{key} may be changed")


@journey.command("archive")
def archive(
    key: Annotated[str, typer.Argument(help="The key of a journey.")], data_dir: DataDir = None
) -> None:
    """Put a journey away: it is neither listed nor followed. A version saved later takes it out."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        catalogue.hold(session, key)
        shelf.put_away(session, catalogue.find(session, key)[0].key)
    typer.echo(f"{key} is archived")


def _write(out: Path, found: Journey) -> None:
    if out.suffix == ".json":
        body = found.model_dump(mode="json", by_alias=True, exclude_none=True)
        out.write_text(json.dumps(body, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    elif out.suffix == ".xlsx":
        out.write_bytes(workbook.write(found))
    else:
        raise MapUnreadable(f"{out.name} ends neither with .xlsx nor with .json")
    typer.echo(f"{out}: {found.key}")


def _read(file: Path) -> Journey:
    if file.suffix != ".json":
        return workbook.read(file.read_bytes())
    try:
        return workbook.defined(json.loads(file.read_bytes()))
    except (ValueError, RecursionError):
        raise DefinitionInvalid(f"{file.name} is no JSON") from None
