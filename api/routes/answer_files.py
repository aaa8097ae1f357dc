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
from app.errors import AnalysisNotFound, AnswerNotDrawn, PurposeNotAllowed
from app.journeys import answer_book, answer_csv, pictures, questions, sheet_cells, vega
from app.journeys.wording import Wording

router = Resource(prefix="/v1/analyses", tags=["journeys"])

#: By the ending of the name: the media type, and what writes it.
FORMS: dict[str, tuple[str, Callable[[dict[str, Any], Wording], bytes]]] = {
    "csv": (answer_csv.MEDIA_TYPE, lambda answer, _: answer_csv.write(answer)),
    "svg": ("image/svg+xml", lambda answer, say: pictures.draw(answer, say).encode()),
    "vl.json": (
        "application/vnd.vegalite.v5+json",
        lambda answer, _: json.dumps(vega.specification(answer), ensure_ascii=False).encode(),
    ),
    "xlsx": (sheet_cells.MEDIA_TYPE, lambda answer, _: answer_book.write(answer)),
}
#: What draws, and not of every kind of analysis.
DRAWN = ("svg", "vl.json")
CONTENT = {kind: {"schema": {"type": "string", "format": "binary"}} for kind, _ in FORMS.values()}


@router.get(
    "/{query_id}/answer.{form}",
    response_class=Response,
    summary="An answer as a file",
    responses={
        200: {"description": "The file.", "content": CONTENT},
        **documented(*AUTH, PurposeNotAllowed, AnalysisNotFound, AnswerNotDrawn),
    },
)
def export_answer(
    request: Request,
    settings: Configuration,
    caller: Reader,
    query_id: Annotated[str, Path(max_length=60)],
    form: Annotated[
        Literal["csv", "svg", "vl.json", "xlsx"],
        Path(description="A table, a picture, a Vega-Lite specification, a workbook."),
    ],
    language: Annotated[Literal["fr", "en"], Query(description="Of a picture.")] = "en",
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
    return _file(answer, form, say)


def _file(answer: dict[str, Any], form: str, say: Wording) -> Response:
    media_type, write = FORMS[form]
    try:
        content = write(answer, say)
    except ValueError as error:
        if form not in DRAWN:
            raise
        raise AnswerNotDrawn(str(error)) from None
    name = f'attachment; filename="{answer["kind"]}-{answer["query_id"]}.{form}"'
    return Response(content, media_type=media_type, headers={"Content-Disposition": name})
