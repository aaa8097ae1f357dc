"""`parcours analyse`: asks a question about journeys, prints the answer, draws it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import json_file
from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app.journeys import catalogue
from app.journeys.asked import DEFAULT_PURPOSE, FORMS


def analyse(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(FORMS)}.")],
    question: Annotated[
        Path | None, typer.Argument(help="A file with the question as JSON, as the API takes it.")
    ] = None,
    journey: Annotated[str | None, typer.Option(help="The key of the journey it is of.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Draw it: a picture (.svg) or a Vega-Lite specification (.json)."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question over the resolved people who allow the purpose."""
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: loaded when it is asked

    if kind not in FORMS:
        raise ValueError(f"there is no analysis {kind!r}; there are {', '.join(FORMS)}")
    if out is not None and out.suffix not in (".svg", ".json"):
        raise ValueError(f"{out}: a picture is .svg, a specification .json")
    said = json_file.read(question) if question else {}
    if journey is not None:
        said["journey"] = journey
    asked = FORMS[kind].model_validate(said)
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions() as session:
            found = catalogue.find(session, asked.journey)[1] if asked.journey else None
        own = found.purpose if found else DEFAULT_PURPOSE
        answer = analyses.ask(
            sessions,
            configuration.lake_dir,
            kind,
            asked.question(found),
            purpose=purpose or asked.purpose or own,
            as_of=asked.as_of,
        )
    if out is not None:
        out.write_text(_drawn(answer, out), encoding="utf-8")
        err.print(f"wrote {out}", highlight=False)
    if as_json or out is None:
        _print(answer, as_json)


def _drawn(answer: dict[str, Any], out: Path) -> str:
    from app.journeys import pictures, vega  # noqa: PLC0415  # for drawing alone

    if out.suffix == ".svg":
        return pictures.draw(answer)
    return json.dumps(vega.specification(answer), ensure_ascii=False, indent=2)


def _print(answer: dict[str, Any], as_json: bool) -> None:
    result = answer["result"]
    if as_json:
        show(answer, True)
        return
    match answer["kind"]:
        case "funnel":
            show(result["steps"], False, "name", "n", "from_previous", "from_first", "bucket")
            show([result["status"]], False, *result["status"])
        case "paths":
            rows = [{**one, "route": " → ".join(one["route"])} for one in result["variants"]]
            show(rows, False, "route", "n", "profiles", "share", "p50")
        case "matrix":
            show(result["cells"], False, "stage", "channel", "profiles", "events", "status")
        case "switches":
            show(result["channels"], False, "source", "target", "n", "profiles")
        case "conformance":
            show(result["deviations"], False, "kind", "touchpoint", "to", "n", "ways", "share")
        case "attribution":
            rows = [
                {"label": one["label"], "touches": one["touches"]}
                | {model: credit["conversions"] for model, credit in one["credits"].items()}
                for one in result["channels"]
            ]
            show(rows, False, "label", "touches", *result["sums"])
        case _:
            show([result["converted"]], False, *result["converted"])
    for warning in answer["warnings"]:
        err.print(warning, highlight=False)
