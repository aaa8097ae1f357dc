"""`parcours partition …` and `parcours retention …`: how and how long the events are kept."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.events import partitions
from app.retention import expire, rules
from app.retention.tables import RetentionRule

partition = typer.Typer(help="The partitions of the events.", no_args_is_help=True)

retention = typer.Typer(help="How long events are kept.", no_args_is_help=True)

Source = Annotated[str | None, typer.Option(help="Of this source; of any when left out.")]
Type = Annotated[
    str | None, typer.Option("--type", help="Calls of this type: track, page, identify, …")
]
Event = Annotated[str | None, typer.Option(help="Events of this name.")]
COLUMNS = ("id", "source", "type", "event", "days")


@partition.command("list")
def list_partitions(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the partitions: when each was open, and whether its message ids still count."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [asdict(row) for row in partitions.list_all(session)]
    show(rows, as_json, "part", "opened_at", "closed_at", "deduplicates", "events", "bytes")


@partition.command("roll-over")
def roll_over(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Close the open partition now and write into the next; the worker does so each month."""
    with opened(settings(data_dir)) as sessions:
        answer = {"part": partitions.close_open(sessions)}
    show(answer if as_json else [answer], as_json, "part")


def _rule(rule: RetentionRule, source: str | None) -> dict[str, Any]:
    return {"id": rule.id, "source": source, "type": rule.type, "event": rule.event,
            "days": rule.days}  # fmt: skip


@retention.command("list")
def list_rules(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the rules, the more specific first: for an event the first that fits counts."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [_rule(rule, source) for rule, source in rules.list_all(session)]
    show(rows, as_json, *COLUMNS)


@retention.command("set")
def set_rule(
    days: Annotated[int | None, typer.Option(min=1, help="Days from the arrival.")] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Keep them for ever.")] = False,
    source: Source = None,
    type_: Type = None,
    event: Event = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say how long these events are kept; a rule for the same ones is replaced."""
    if (days is None) != forever:
        raise typer.BadParameter("give --days or --forever")
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        rule = rules.put(session, source=source, type_=type_, event=event, days=days)
        answer = _rule(rule, source)
    show(answer if as_json else [answer], as_json, *COLUMNS)


@retention.command("remove")
def remove_rule(rule_id: int, data_dir: DataDir = None) -> None:
    """Remove a rule; its events follow the next less specific one."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        rules.remove(session, rule_id)


@retention.command("run")
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete now what has been kept long enough; the worker does so each hour."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        done = expire.run(
            sessions,
            configuration.lake_dir,
            rejected=timedelta(days=configuration.rejected_days),
            page_days=configuration.page_refusal_days,
            dry_run=dry_run,
        )
    answer = {"running_elsewhere": True} if done is None else asdict(done)
    show(answer if as_json else [answer], as_json, *answer)
