"""`parcours consent …`: what would change, and what others are shown."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import typer
from pydantic import BaseModel, ValidationError

from api.cli.json_file import read
from api.cli.options import AlwaysJson
from api.cli.session import DataDir, opened, settings, show
from app.accountability import controller as controllers
from app.accountability import markdown
from app.accountability.change import Change
from app.accountability.controller import Controller
from app.accountability.processing import record_of_processing
from app.accountability.receipt import Format
from app.accountability.receipt import receipt as made_of
from app.accountability.simulate import simulate as answer
from app.db import snapshot
from app.errors import DefinitionInvalid
from consent import party

consent = typer.Typer(
    help="Consent: simulations, receipts, the record of processing, bundles for auditors.",
    no_args_is_help=True,
)


T = TypeVar("T", bound=BaseModel)


def _read(kind: type[T], file: Path) -> T:
    """Return what a file of JSON says; raises DefinitionInvalid."""
    try:
        return kind.model_validate(read(file))
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(str(part) for part in first["loc"])
        raise DefinitionInvalid(f"#/{place}: {first['msg']}") from error
    except ValueError as error:
        raise DefinitionInvalid(str(error)) from error


@consent.command()
def simulate(
    file: Annotated[Path, typer.Argument(help="JSON with one of: purpose, notice, destination.")],
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Say who would be allowed and denied by a change, and what would follow; nothing is written.

    The file is what `POST /v1/consents/simulate` takes.
    """
    change = _read(Change, file)
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
    wanted = _read(Controller, file) if file else None
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        if wanted is not None:
            controllers.set_controller(session, wanted)
        show(party.controller(session), as_json=True)


@consent.command("record-of-processing")
def processing_record(
    form: Annotated[
        Literal["json", "markdown"], typer.Option("--format", help="json, or markdown.")
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
        sys.stdout.write(markdown.page(record))
