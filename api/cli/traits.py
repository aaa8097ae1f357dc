"""`parcours trait …`: which value of a trait survives where sources and identifiers differ."""

from typing import Annotated

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.destinations import syncing
from app.profiles import trait_rules
from app.profiles.survivorship import NAMES

trait = typer.Typer(help="Survivorship rules of traits.", no_args_is_help=True)

Rule = Annotated[str, typer.Option("--rule", help=f"One of: {', '.join(NAMES)}.")]
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", help="Of source_priority; repeatable, the first is believed first."),
]
COLUMNS = ("trait", "rule", "sources", "state", "share", "set_at", "set_by")


@trait.command("list")
def list_rules(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the traits that have a rule; of all others the latest value counts."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [trait_rules.describe(found) for found in trait_rules.list_all(session)]
    show(rows, as_json, *COLUMNS)


@trait.command("set")
def set_rule(
    key: str,
    rule: Rule,
    source: Sources = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Set the rule of a trait; the running server's worker looks events through where it must."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = trait_rules.put(session, key, rule, tuple(source or ()), by="command line")
        syncing.follow_trait(session, key)
        answer = trait_rules.describe(found)
    show(answer if as_json else [answer], as_json, *COLUMNS)


@trait.command("reset")
def reset_rule(key: str, data_dir: DataDir = None) -> None:
    """Let the latest value of a trait count again."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        trait_rules.remove(session, key)
        syncing.follow_trait(session, key)
