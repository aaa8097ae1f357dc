"""`parcours identity reviews …`: the queue of what a person should decide, and what it teaches."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.identities import drifting, reviewing
from identity import explain, people, queue, recalibration
from identity.words import Language

commands = typer.Typer(
    help="Pairs that a person decides, what is worth most to know first.", no_args_is_help=True
)

BY = "command line"
Entry = Annotated[str, typer.Argument(help="As the list names it: 12, or held-345.")]
Purpose = Annotated[
    str | None, typer.Option(help="profile.link shows the values of both records too.")
]
In = Annotated[Language, typer.Option("--language", help="Of the words: en or fr.")]


class Answer(StrEnum):
    """What may be decided of a pair."""

    MATCH = "match"
    NO_MATCH = "no_match"
    LATER = "later"


@commands.command("list")
def list_reviews(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    purpose: Purpose = None,
    language: In = "en",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what waits for a decision, the most valuable first."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        rows = reviewing.page(
            session,
            now=datetime.now(UTC),
            cursor=None,
            limit=limit,
            purpose=purpose,
            language=language,
        )["data"]
    if as_json:
        show(rows, as_json)
        return
    flat = [{**row, "likely": f"{row['likely']:.2f}", "value": f"{row['value']:.2f}"}
            for row in rows]  # fmt: skip
    show(flat, as_json, "id", "left", "right", "likely", "guard", "value")


@commands.command("show")
def show_review(
    entry: Entry,
    purpose: Purpose = None,
    language: In = "en",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show both records side by side, with the weight of each field."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = reviewing.entry(
            session, entry, now=datetime.now(UTC), purpose=purpose, language=language
        )
    if as_json:
        show(found, as_json)
        return
    weights = found["comparison"]["weights"] if found["comparison"] else []
    rows: list[dict[str, Any]] = [
        {"": w["text"], found["left"]: w["left"], found["right"]: w["right"]} for w in weights
    ]
    show(rows, as_json, "", found["left"], found["right"])
    typer.echo(found["guard_text"] or f"likely {found['likely']:.3f}")


@commands.command("decide")
def decide(
    entry: Entry,
    answer: Answer,
    days: Annotated[int, typer.Option(min=1, help="With later: ask again after so many.")] = 7,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Merge the two, keep them apart for good, or ask again later."""
    now = datetime.now(UTC)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        told: dict[str, Any] = {"id": entry, "decision": answer.value}
        if answer is Answer.LATER:
            until = now + timedelta(days=days)
            queue.postpone(session, entry, until=until, by=BY, now=now)
            told["until"] = until.isoformat()
        else:
            moved = reviewing.decide(session, entry, match=answer is Answer.MATCH, by=BY, at=now)
            told |= {"merged": len(moved.merged), "split": len(moved.split)}
    show(told if as_json else [told], as_json, *told)


@commands.command("recalibrate")
def recalibrate(
    back: Annotated[bool, typer.Option("--roll-back", help="End the one that counts.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Correct probabilities by what was decided, from the next run on; refused while it is thin."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        done = recalibration.roll_back if back else recalibration.fit
        told = recalibration.describe(done(session, by=BY))
    show(told if as_json else [told], as_json, "id", "labels", "matches", "made_at", "ended_at")


def drift(language: In = "en", data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Compare what probabilities promised with what people decided, by model and decile."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = drifting.report(session, language)
    if as_json:
        show(found, as_json)
        return
    rows = [
        {
            "model": model["model_run_id"],
            "probability": f"{one['low_edge']:.1f} to {one['high_edge']:.1f}",
            "decided": one["decided"],
            "promised": "" if one["promised"] is None else f"{one['promised']:.3f}",
            "observed": "" if one["observed"] is None else f"{one['observed']:.3f}",
            "wrong": one["wrong"],
            "verdict": one["verdict"],
        }
        for model in found["data"]
        for one in model["deciles"]
        if one["decided"] or one["wrong"]
    ]
    columns = ("model", "probability", "decided", "promised", "observed", "wrong", "verdict")
    show(rows, as_json, *columns)
    typer.echo(found["text"])


def held(
    reason: Annotated[str | None, typer.Option(help="Of this reason, as limit:user_id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List links that a guard stops, and why."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = people.held(session, reason=reason, limit=limit)
        rows = explain.describe_links(session, found)
    show(rows, as_json, "id", "left", "right", "kind", "held_because", "first_at")
