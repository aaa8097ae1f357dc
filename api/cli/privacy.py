"""`parcours privacy …`: what is kept of one person, and the requests of data subjects."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from api.cli.breach import breach
from api.cli.session import AsJson, DataDir, opened, settings, show
from api.cli.vault import vault
from app.db import Sessions
from app.errors import PackageNotFound, PrivacyRequestInvalid
from app.privacy import clock, describe, package_store, requests, run
from app.settings import Settings
from identity import identifiers

privacy = typer.Typer(help="Requests of data subjects, and erasure.", no_args_is_help=True)
requests_ = typer.Typer(help="Requests of data subjects.", no_args_is_help=True)
privacy.add_typer(requests_, name="requests")
privacy.add_typer(vault, name="vault")
privacy.add_typer(breach, name="breach")

Subject = Annotated[list[str], typer.Argument(help="Identifiers as namespace:value, all theirs.")]
Attested = Annotated[
    str, typer.Option(help="How you know that it is the person, such as a ticket or a call.")
]
Request = Annotated[UUID, typer.Argument(help="The id of a request.")]
#: Who did it, in what is put on record.
OPERATOR = "operator"
COLUMNS = ("id", "kind", "state", "due", "days_left", "opened_by")


def _now() -> datetime:
    return datetime.now(UTC)


def _run(
    sessions: Sessions, configuration: Settings, kind: str, subject: list[str], attested: str
) -> UUID:
    """Open a request that an operator attests, and carry out what can be done at once."""
    with sessions.begin() as session:
        request = requests.open_(
            session,
            configuration,
            kind=kind,
            identifiers=[identifiers.parse(one) for one in subject],
            by=OPERATOR,
            now=_now(),
            attested=attested,
        )
        request_id, ended, first = request.id, request.closed_at, request.duplicate_of
    if ended is not None:
        raise PrivacyRequestInvalid(f"request {first} about this person is not done yet")
    run.at_once(sessions, configuration, request_id)
    return request_id


@privacy.command("erase")
def erase(
    subject: Subject,
    attested: Attested = "at the command line",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person: all that these identifiers brought, here and at destinations, for good.

    Whatever only a match or a decision joined to them stays. What has to wait, the worker does.
    """
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        request_id = _run(sessions, configuration, "erasure", subject, attested)
        _show(sessions, configuration, request_id, as_json)


@privacy.command("export")
def export(
    subject: Subject,
    to: Annotated[Path, typer.Option(help="The ZIP file to write.", dir_okay=False)],
    kind: Annotated[str, typer.Option(help="access, portability or explain.")] = "access",
    attested: Attested = "at the command line",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the package of a person: all that is kept of them, and of nobody else."""
    if kind not in ("access", "portability", "explain"):
        raise typer.BadParameter("--kind is access, portability or explain")
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        request_id = _run(sessions, configuration, kind, subject, attested)
        with sessions() as session:
            made = package_store.of_request(session, request_id)
            for package in made:
                shutil.copyfile(package_store.path_of(configuration, package), to)
        _show(sessions, configuration, request_id, as_json)
    if not made:
        raise PackageNotFound("nobody is known by these identifiers")


@requests_.command("list")
def list_requests(
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the requests, those that are due first first."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions, sessions() as session:
        found = requests.list_all(session, open_only=not every)
        rows = [describe.request(one, configuration, now=_now()) for one in found]
    show(rows, as_json, *COLUMNS)


@requests_.command("show")
def show_request(request_id: Request, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show a request: its clock, its plan with the result per store, and what happened."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        _show(sessions, configuration, request_id, as_json)


def _show(sessions: Sessions, configuration: Settings, request_id: UUID, as_json: bool) -> None:
    with sessions() as session:
        found = describe.whole(session, request_id, configuration, now=_now())
    if as_json:
        show(found, True)
        return
    show([found], False, *COLUMNS)
    tasks: list[dict[str, Any]] = found["tasks"]
    show(tasks, False, "store", "target", "state", "result")


@requests_.command("open")
def open_request(
    kind: Annotated[str, typer.Argument(help=", ".join(requests.KINDS))],
    subject: Subject,
    attested: Attested = "at the command line",
    regime: Annotated[str, typer.Option(help=", ".join(clock.REGIMES))] = clock.GDPR,
    purpose: Annotated[
        str | None, typer.Option(help="Of an objection: a purpose, or marketing; else all.")
    ] = None,
    trait: Annotated[str | None, typer.Option(help="Of a rectification: what was wrong.")] = None,
    value: Annotated[str | None, typer.Option(help="Its right value, as text.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Open a request of a person whom you know; the worker carries it out."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions.begin() as session:
            made = requests.open_(
                session,
                configuration,
                kind=kind,
                identifiers=[identifiers.parse(one) for one in subject],
                by=OPERATOR,
                now=_now(),
                regime=regime,
                attested=attested,
                details={"purpose": purpose, "trait": trait, "value": value},
            )
            request_id = made.id
        _show(sessions, configuration, request_id, as_json)


@requests_.command("verify")
def verify_request(
    request_id: Request,
    attested: Annotated[str, typer.Option(help="How you know that it is the person.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Attest that a request that waits for it comes from the person."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions.begin() as session:
            request = requests.find(session, request_id, lock=True)
            requests.attest(session, request, how=attested, by=OPERATOR, now=_now())
        _show(sessions, configuration, request_id, as_json)


@requests_.command("extend")
def extend_request(
    request_id: Request,
    reason: Annotated[str, typer.Option(help="Why; the person is told.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Extend the time for the answer, while the first time is running."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions.begin() as session:
            request = requests.find(session, request_id, lock=True)
            requests.extend(session, request, configuration, reason=reason, by=OPERATOR, now=_now())
        _show(sessions, configuration, request_id, as_json)


@requests_.command("close")
def close_request(
    request_id: Request,
    state: Annotated[str, typer.Option("--as", help=", ".join(requests.ENDED))] = requests.CLOSED,
    reason: Annotated[str | None, typer.Option(help="Why; the person is told.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """End a request: closed when all is done, or refused, partially_met, revoked_by_subject."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions.begin() as session:
            request = requests.find(session, request_id, lock=True)
            requests.end(session, request, state, by=OPERATOR, now=_now(), reason=reason)
        _show(sessions, configuration, request_id, as_json)


@requests_.command("lift")
def lift_request(request_id: Request, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """End what a restriction or objection has set; who restricted is told before."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        with sessions.begin() as session:
            lifted = requests.lift(session, request_id, by=OPERATOR, now=_now())
        show({"lifted": lifted}, as_json)
