"""`parcours analyst …`: roles of PostgreSQL that read what consent lets them, and nothing else."""

from typing import Annotated

import typer

from api.cli.options import AlwaysJson
from api.cli.session import AsJson, DataDir, opened, settings, show
from app import analysts

analyst = typer.Typer(help="Roles of the database for analyses.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The role's name: a-z, 0-9 and _.")]


@analyst.command()
def add(
    name: Name,
    purpose: Annotated[
        list[str], typer.Option("--purpose", help="A purpose it reads for; may be repeated.")
    ],
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Create a role that reads events and traits of who allows a purpose.

    Its password is shown once. The role of this product needs the right to create roles.
    """
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        password = analysts.add(session, name, purpose)
    views = [f'{analysts.SCHEMA}."{key}:{view}"' for key in purpose for view in analysts.VIEWS]
    show({"role": name, "password": password, "views": views}, as_json=True)


@analyst.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the roles that were made here, and for which purposes they read."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = analysts.list_all(session)
    show(
        [{"role": one.name, "purposes": list(one.purposes)} for one in found],
        as_json,
        "role",
        "purposes",
    )


@analyst.command()
def remove(name: Name, data_dir: DataDir = None, as_json: AlwaysJson = True) -> None:
    """Remove a role with all of its rights."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        analysts.remove(session, name)
    show({"removed": name}, as_json=True)
