"""Answers of analyses as files: tables for spreadsheets, pictures, specifications of charts."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request
from fastapi.responses import Response

from api.auth import state_purpose
from api.deps import Configuration
from api.problems import documented
from api.resource import Resource
from api.routes.analyses import AUTH, Reader, may_read_traits
from app.errors import (
    AnalysesBusy,
    AnalysisNotFound,
    AnalysisTooLarge,
    AnswerNotDrawn,
    AnswerTableNotFound,
    LakeIncomplete,
    PurposeNotAllowed,
)
from app.journeys import (
    answer_book,
    answer_csv,
    answer_parquet,
    answer_png,
    pictures,
    questions,
    sheet_cells,
    vega,
)
from app.journeys.answer_rows import Row
from app.journeys.answer_tables import MAIN, tables
from app.journeys.wording import Wording

router = Resource(prefix="/v1/analyses", tags=["journeys"])

#: What writes one table of it, by the ending of the name, with the media type.
TABLES: dict[str, tuple[str, Callable[[list[Row]], bytes]]] = {
    "csv": (answer_csv.MEDIA_TYPE, answer_csv.write),
    "parquet": (answer_parquet.MEDIA_TYPE, answer_parquet.write),
}
#: What draws it, if it is of a kind that is drawn.
DRAWINGS: dict[str, tuple[str, Callable[[dict[str, Any], Wording], bytes]]] = {
    "svg": ("image/svg+xml", lambda answer, say: pictures.draw(answer, say).encode()),
    "png": (answer_png.MEDIA_TYPE, answer_png.draw),
    "vl.json": (
        "application/vnd.vegalite.v5+json",
        lambda answer, _: json.dumps(vega.specification(answer), ensure_ascii=False).encode(),
    ),
}
MEDIA_TYPES = {
    "xlsx": sheet_cells.MEDIA_TYPE,
    **{form: media_type for form, (media_type, _) in (TABLES | DRAWINGS).items()},
}
CONTENT = {
    media_type: {"schema": {"type": "string", "format": "binary"}}
    for media_type in MEDIA_TYPES.values()
}


@router.get(
    "/{query_id}/answer.{form}",
    response_class=Response,
    summary="An answer as a file",
    responses={
        200: {"description": "The file.", "content": CONTENT},
        **documented(
            *AUTH,
            PurposeNotAllowed,
            AnalysisNotFound,
            AnalysesBusy,
            AnalysisTooLarge,
            LakeIncomplete,
            AnswerNotDrawn,
            AnswerTableNotFound,
        ),
    },
)
def export_answer(
    request: Request,
    settings: Configuration,
    caller: Reader,
    query_id: Annotated[str, Path(max_length=60)],
    form: Annotated[
        Literal["csv", "parquet", "xlsx", "svg", "png", "vl.json"],
        Path(
            description="A table, a workbook of all tables, a picture, a Vega-Lite specification."
        ),
    ],
    language: Annotated[Literal["fr", "en"], Query(description="Of a picture.")] = "en",
    table: Annotated[
        str,
        Query(
            max_length=100,
            description="Of csv and parquet: which of the answer's tables, such as `figures`,"
            " `answer` or a list by its place in it, such as `flow.links`.",
        ),
    ] = MAIN,
) -> Response:
    """Answer the question again, as of its time, as a file.

    It is of the people as they are resolved and as they consent now: where that gives another
    answer, `query_id` in the file's name is another, and a workbook's `warnings` say so. Nothing
    in tables that people wrote is a formula.
    """
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    sessions = request.app.state.sessions
    with sessions() as session:
        kept = questions.find(session, query_id)
        purpose = state_purpose(caller, kept.purpose)
    question = analyses.question(kept)
    may_read_traits(caller, analyses.traits(kept.kind, question))
    answer = analyses.ask(
        sessions, settings.lake_dir, kept.kind, question, purpose=purpose, as_of=kept.as_of
    )
    if answer["query_id"] != query_id:
        answer["warnings"] = [*answer["warnings"], analyses.CHANGED]
    say = Wording.of(getattr(question, "journey", None), language)
    content = _written(answer, form, table, say)
    part = "" if table == MAIN or form not in TABLES else f"-{table}"
    name = f'attachment; filename="{answer["kind"]}-{answer["query_id"]}{part}.{form}"'
    headers = {"Content-Disposition": name}
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)


def _written(answer: dict[str, Any], form: str, table: str, say: Wording) -> bytes:
    if form in TABLES:
        found = tables(answer)
        if table not in found:
            raise AnswerTableNotFound(f"it has {', '.join(found)}")
        return TABLES[form][1](found[table])
    if form in DRAWINGS:
        try:
            return DRAWINGS[form][1](answer, say)
        except ValueError as error:
            raise AnswerNotDrawn(str(error)) from None
    return answer_book.write(answer)
