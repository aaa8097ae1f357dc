"""`parcours identity explain`: why these two, why not, and what holds a person together."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.session import AsJson, DataDir, opened, say, settings, show
from app.identities import explaining, merging
from app.profiles import read
from identity import explain as identity_explain
from identity import svg
from identity.words import Language

Subject = Annotated[str, typer.Argument(help="A profile id, or namespace:value.")]
In = Annotated[Language, typer.Option("--language", help="Of the words: en or fr.")]


def explain(
    subject: Subject,
    other: Annotated[str | None, typer.Argument(help="A second one: why, or why not?")] = None,
    picture: Annotated[
        Path | None, typer.Option("--svg", help="With two: draw the waterfall into this file.")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help="profile.link shows the values of their records too.")
    ] = None,
    language: In = "en",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say why two are, or are not, one person; or what holds one together."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions, sessions.begin() as session:
        if other is None:
            found = read.find(session, subject)
            holding = explaining.one(session, found.person_id, language)
            links = identity_explain.links(session, found.person_id, language)
            answer: dict[str, Any] = {
                "profile_id": str(found.profile_id),
                "data": links,
                "holding": holding,
            }
            sentences = [*holding["text"], *(link["text"] for link in links)]
        else:
            bounds = {
                "merge": merging.threshold(session, configuration),
                "review": configuration.review_threshold,
            }
            answer = explaining.two(
                session, subject, other, purpose=purpose, language=language, **bounds
            )
            sentences = answer["text"]
            if picture is not None:
                fall = explaining.waterfall_of(session, subject, other, **bounds)
                picture.write_text(svg.draw(fall, language), encoding="utf-8")
    if as_json:
        show(answer, as_json)
        return
    say(*sentences)
