"""`parcours consent …`: what would change, and what others are shown."""

import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer

from api.cli import json_file
from api.cli.options import AlwaysJson
from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app.accountability import bundle as bundles
from app.accountability import controller as controllers
from app.accountability import html_page, markdown
from app.accountability.change import Change
from app.accountability.controller import Controller
from app.accountability.processing import record_of_processing
from app.accountability.receipt import Format
from app.accountability.receipt import receipt as made_of
from app.accountability.simulate import simulate as answer
from app.db import snapshot
from app.ledger.anchor import notes
from app.ledger.job import LedgerJob
from consent import party
from consent.ledger import bundle
from consent.ledger.check import read_file

consent = typer.Typer(
    help="Consent: simulations, receipts, the record of processing, bundles for auditors.",
    no_args_is_help=True,
)


@consent.command()
def simulate(
    file: Annotated[Path, typer.Argument(help="JSON with one of: purpose, notice, destination.")],
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Say who would be allowed and denied by a change, and what would follow; nothing is written.

    The file is what `POST /v1/consents/simulate` takes.
    """
    change = json_file.model(Change, json_file.read(file))
    with opened(settings(data_dir)) as sessions, sessions() as session:
        show(answer(session, change, at=datetime.now(UTC)), as_json=True)


@consent.command()
def receipt(
    record: Annotated[UUID, typer.Argument(help="The id of a consent record.")],
    form: Annotated[Format, typer.Option("--format", help="kantara, or dpv.")] = "kantara",
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Print the receipt of a consent record; it is personal data."""
    configuration = settings(data_dir)
    address = configuration.public_url.rstrip("/")
    with opened(configuration) as sessions, sessions() as session:
        show(made_of(session, record, form, address=address), as_json=True)


@consent.command()
def controller(
    file: Annotated[
        Path | None, typer.Argument(help="JSON, as `PUT /v1/controller` takes it.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Print who the controller is; with a file, say so."""
    wanted = json_file.model(Controller, json_file.read(file)) if file else None
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        if wanted is not None:
            controllers.set_controller(session, wanted)
        show(party.controller(session), as_json=True)


@consent.command("record-of-processing")
def processing_record(
    form: Annotated[
        Literal["json", "markdown", "html"],
        typer.Option("--format", help="json, markdown or html."),
    ] = "json",
    people: Annotated[
        bool, typer.Option(help="Count the people whom each purpose in use allows and denies.")
    ] = True,
    data_dir: DataDir = None,
) -> None:
    """Print the record of processing activities (GDPR art. 30), as it is now."""
    with opened(settings(data_dir)) as sessions, snapshot(sessions) as session:
        record = record_of_processing(session, at=datetime.now(UTC), people=people)
    if form == "json":
        show(record, as_json=True)
    else:
        write = html_page.page if form == "html" else markdown.page
        sys.stdout.write(write(record))


@consent.command("audit-bundle")
def audit_bundle(
    folder: Annotated[Path, typer.Argument(help="A folder that is new or empty.")],
    all_entries: Annotated[
        bool,
        typer.Option(
            "--all-entries",
            help="Show the ledger's entries about people too, under pseudonyms.",
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Write what an auditor asks for, signed with the ledger's key; it names no person.

    Seals first what waits for the ledger.
    """
    configuration = settings(data_dir)
    now = datetime.now(UTC)
    with opened(configuration) as sessions:
        job = LedgerJob(sessions, configuration)
        with closing(job.keystore):
            job.round()
            signers = [key.signer for key in job.keystore.signing_keys(at=now)]
            with snapshot(sessions) as session:
                written = bundles.write(
                    session, folder, signers, configuration, at=now, all_entries=all_entries
                )
    show(written, as_json=True)


def _kept(path: Path) -> list[str]:
    found = notes(read_file(path))
    if not found:
        raise typer.BadParameter(f"{path} holds no checkpoint")
    return found


@consent.command("verify-bundle")
def verify_bundle(
    folder: Annotated[Path, typer.Argument(help="A bundle.")],
    vkey: Annotated[
        list[str] | None, typer.Option("--vkey", help="A public key of the ledger that you noted.")
    ] = None,
    from_checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--from-checkpoint", help="A file with checkpoints that you kept."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle without network and database; status 1 when anything is wrong.

    Without --vkey the keys that the bundle itself names are believed.
    """
    external = [note for path in from_checkpoint or () for note in _kept(path)]
    found = bundle.check(folder, vkeys=vkey or (), external=external)
    answer = {"sound": found.sound, **asdict(found)}
    if as_json:
        show(answer, as_json=True)
    else:
        show([answer], False, "sound", "created", "files", "entries", "checkpoints", "keys_given")
        for problem in found.problems:
            err.print(problem, markup=False, highlight=False, soft_wrap=True)
    if not found.sound:
        raise typer.Exit(1)
