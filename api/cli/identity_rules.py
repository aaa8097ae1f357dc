"""`parcours namespace …` and `parcours identity rebuild`: the rules, and the people they make."""

import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app import pipeline
from app.db import Sessions
from app.sweeps import state
from identity import namespaces, respelling, sweeps
from identity.identifiers import Namespace
from identity.rebuild import rebuild as compute

namespace = typer.Typer(help="The rules of identifiers, by namespace.", no_args_is_help=True)

#: A worker that does nothing for so many seconds is none.
PATIENCE = 4.0

COLUMNS = (
    "namespace", "priority", "limit", "unique", "most_links", "owner_days", "last_owner",
    "blocked", "blocked_patterns", "set_by",
)  # fmt: skip


Priority = Annotated[int | None, typer.Option(min=1, help="1 is the strongest.")]
Limit = Annotated[int | None, typer.Option(min=0, help="Most values; 0 for any.")]
Unique = Annotated[bool | None, typer.Option(help="A person has one.")]
MostLinks = Annotated[int | None, typer.Option(min=1, max=1000, help="More is a crowd.")]
OwnerDays = Annotated[int | None, typer.Option(min=0, help="0 for ever.")]
LastOwner = Annotated[bool | None, typer.Option(help="Shared, it is the last one's.")]
Blocked = Annotated[list[str] | None, typer.Option(help="A value of nobody.")]
Patterns = Annotated[list[str] | None, typer.Option(help="A pattern of such.")]


def changed(
    old: namespaces.Setting,
    priority: int | None,
    limit: int | None,
    unique: bool | None,
    most_links: int | None,
    owner_days: int | None,
    last_owner: bool | None,
    blocked: list[str] | None,
    patterns: list[str] | None,
) -> namespaces.Setting:
    """Return rules of which some are others; None stays, and 0 is no limit."""
    rules = Namespace(
        old.rules.name,
        old.rules.priority if priority is None else priority,
        old.rules.limit if limit is None else limit or None,
        old.rules.unique if unique is None else unique,
        old.rules.most_links if most_links is None else most_links,
        old.rules.owner_days if owner_days is None else owner_days or None,
        old.rules.last_owner if last_owner is None else last_owner,
    )
    return namespaces.Setting(
        rules,
        old.blocked if blocked is None else tuple(blocked),
        old.blocked_patterns if patterns is None else tuple(patterns),
    )


def _row(setting: namespaces.Setting) -> dict[str, Any]:
    rules = asdict(setting.rules)
    more = {"blocked": list(setting.blocked), "blocked_patterns": list(setting.blocked_patterns)}
    return {"namespace": rules.pop("name"), **rules, **more, "set_by": setting.changed_by}


@namespace.command("list")
def list_rules(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the rules in force, the strongest namespace first."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [_row(setting) for setting in namespaces.list_all(session)]
    show(rows, as_json, *COLUMNS)


@namespace.command("set")
def set_rules(
    name: str,
    priority: Priority = None,
    limit: Limit = None,
    unique: Unique = None,
    most_links: MostLinks = None,
    owner_days: OwnerDays = None,
    last_owner: LastOwner = None,
    blocked: Blocked = None,
    blocked_pattern: Patterns = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change rules of a namespace; what is not named stays. A running worker carries it through."""
    with opened(settings(data_dir)) as sessions:
        with sessions.begin() as session:
            setting = changed(
                namespaces.get(session, name), priority, limit, unique, most_links, owner_days,
                last_owner, blocked, blocked_pattern,
            )  # fmt: skip
            namespaces.put(session, setting, by="command line")
            sweeps.request(session, f"namespace:{name}")
            answer = _row(namespaces.get(session, name))
        _wait(sessions)
    show(answer if as_json else [answer], as_json, *COLUMNS)


@namespace.command("reset")
def reset_rules(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Return to the default rules of a namespace."""
    with opened(settings(data_dir)) as sessions:
        with sessions.begin() as session:
            namespaces.reset(session, name)
            sweeps.request(session, f"namespace:{name}")
            answer = _row(namespaces.get(session, name))
        _wait(sessions)
    show(answer if as_json else [answer], as_json, *COLUMNS)


def _wait(sessions: Sessions) -> None:
    """Say how far a worker has come with the people that a change touches, while it comes on."""
    before, since = None, time.monotonic()
    while True:
        with sessions() as session:
            now = state(session)
        if now == {"waiting": 0, "under_way": []}:
            return
        if now != before:
            before, since = now, time.monotonic()
            shares = [f"{s.what} {s.share:.0%}" for s in _under_way(sessions)]
            err.print(f"{now['waiting']} identifiers to compute anew", *shares)
        elif time.monotonic() - since > PATIENCE:
            err.print("no worker is running: they are computed when one is")
            return
        time.sleep(0.5)


def _under_way(sessions: Sessions) -> list[sweeps.Progress]:
    with sessions() as session:
        return sweeps.under_way(session)


def rebuild(
    check: Annotated[bool, typer.Option("--check", help="Only compare; 1 if it differs.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compute every person anew from the links, and say where the tables said something else."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = compute(
            session, check=check, progress=lambda done, total: err.print(f"{done} of {total}")
        )
        pipeline.after_move(session, found.moved)
    answer = asdict(found)
    del answer["moved"]
    show(answer if as_json else [answer], as_json, *answer)
    if check and (found.identifiers_differing or found.links_differing):
        raise typer.Exit(1)


def respell(data_dir: DataDir = None) -> None:
    """Link e-mail addresses and phone numbers of an earlier spelling with how they are spelled now.

    A worker does it by itself after an upgrade, and after PARCOURS_DEFAULT_REGION was changed; this
    has it begin anew.
    """
    with opened(settings(data_dir)) as sessions:
        with sessions.begin() as session:
            sweeps.request(session, respelling.SPELLING, respelling.rules())
        _wait(sessions)
