"""`parcours consent …`: what would change, and what others are shown."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from api.cli.json_file import read
from api.cli.options import AlwaysJson
from api.cli.session import DataDir, opened, settings, show
from app.accountability.change import Change
from app.accountability.simulate import simulate as answer
from app.errors import DefinitionInvalid

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
    try:
        change = Change.model_validate(read(file))
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(str(part) for part in first["loc"])
        raise DefinitionInvalid(f"#/{place}: {first['msg']}") from error
    except ValueError as error:
        raise DefinitionInvalid(str(error)) from error
    with opened(settings(data_dir)) as sessions, sessions() as session:
        show(answer(session, change, at=datetime.now(UTC)), as_json=True)
