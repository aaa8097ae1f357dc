"""`parcours analyse`: asks a question about journeys, prints the answer, draws it."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from api.cli import json_file
from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app.errors import AnswerTableNotFound
from app.journeys import catalogue
from app.journeys.answer_rows import rows
from app.journeys.answer_tables import MAIN, tables
from app.journeys.asked import DEFAULT_PURPOSE, FORMS
from app.journeys.telling import told
from app.journeys.wording import Wording

#: What a console shows of a table that is wider than it.
COLUMNS = {
    "funnel": ("name", "n", "from_previous", "from_first", "bucket"),
    "paths": ("route", "n", "profiles", "share", "p50"),
    "matrix": ("stage", "channel", "profiles", "events", "status"),
    "switches": ("source", "target", "n", "profiles"),
    "conformance": ("kind", "touchpoint", "to", "n", "ways", "share", "profiles"),
    "friction": ("touchpoint", "score", "profiles", "impact", "declared"),
    "drop-off": ("stage", "reached", "moved", "dropped", "in_progress", "drop_rate", "lost_value"),
    "voice": ("instrument", "touchpoint", "n", "value", "interval"),
    "moments-of-truth": ("touchpoint", "status", "reach", "effect", "interval", "q"),
    "compare": ("counted_from", "measure", "variant", "n", "k", "share", "interval"),
}


#: Pictures, a specification, and tables.
SUFFIXES = (".svg", ".png", ".json", ".csv", ".parquet", ".xlsx")


def analyse(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(FORMS)}.")],
    question: Annotated[
        Path | None, typer.Argument(help="A file with the question as JSON, as the API takes it.")
    ] = None,
    journey: Annotated[str | None, typer.Option(help="The key of the journey it is of.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write it: a picture (.svg, .png), a Vega-Lite specification (.json),"
            " a table of it (.csv, .parquet), or all of them (.xlsx)."
        ),
    ] = None,
    table: Annotated[
        str,
        typer.Option(help="Of .csv and .parquet: which table, such as figures or flow.links."),
    ] = MAIN,
    language: Annotated[
        Literal["fr", "en"], typer.Option(help="Of sentences on the console, and of pictures.")
    ] = "en",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question over the resolved people who allow the purpose.

    For instance: parcours analyse matrix --journey retail-purchase --out matrix.svg, or with a
    question of one's own: parcours analyse funnel question.json --json
    """
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: loaded when it is asked

    if kind not in FORMS:
        raise typer.BadParameter(f"there is no analysis {kind!r}; there are {', '.join(FORMS)}")
    if out is not None and out.suffix not in SUFFIXES:
        raise typer.BadParameter(f"{out}: it must end with one of {', '.join(SUFFIXES)}")
    said = json_file.read(question) if question else {}
    options = {"journey": journey, "purpose": purpose}
    said |= {name: value for name, value in options.items() if value is not None}
    asked = json_file.model(FORMS[kind], said)
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions() as session:
            found, called = catalogue.pinned(session, asked.journey)
        own = found.purpose if found else DEFAULT_PURPOSE
        answer = analyses.ask(
            sessions,
            configuration.lake_dir,
            kind,
            asked.model_copy(update={"journey": called}).question(found),
            purpose=asked.purpose or own,
            as_of=asked.as_of,
        )
    if out is not None:
        _write(answer, out, table, Wording.of(found, language))
        err.print(f"wrote {out}", highlight=False)
    if as_json or out is None:
        _print(answer, language, as_json)


def _write(answer: dict[str, Any], out: Path, table: str, say: Wording) -> None:
    from app.journeys import (  # noqa: PLC0415  # for writing alone
        answer_book,
        answer_csv,
        answer_parquet,
        answer_png,
        pictures,
        vega,
    )

    if out.suffix == ".svg":
        out.write_text(pictures.draw(answer, say), encoding="utf-8")
    elif out.suffix == ".png":
        out.write_bytes(answer_png.draw(answer, say))
    elif out.suffix == ".json":
        drawn = vega.specification(answer)
        out.write_text(json.dumps(drawn, ensure_ascii=False, indent=2), encoding="utf-8")
    elif out.suffix == ".xlsx":
        out.write_bytes(answer_book.write(answer))
    else:
        found = tables(answer)
        if table not in found:
            raise AnswerTableNotFound(f"no table {table!r}; there are {', '.join(found)}")
        write = answer_csv.write if out.suffix == ".csv" else answer_parquet.write
        out.write_bytes(write(found[table]))


def _print(answer: dict[str, Any], language: Literal["fr", "en"], as_json: bool) -> None:
    if as_json:
        show(answer, True)
        return
    if "summary" in answer["result"]:
        for line in told(answer, language):
            typer.echo(line)
        for warning in answer["warnings"]:
            err.print(warning, highlight=False)
        return
    table, result = rows(answer), answer["result"]
    names = COLUMNS.get(answer["kind"]) or list(table[0] if table else ())
    show(table, False, *names)
    if answer["kind"] == "funnel":
        show([result["status"]], False, *result["status"])
    for warning in answer["warnings"]:
        err.print(warning, highlight=False)
