"""The command `parcours`: gathers the groups and turns errors into one clear line."""

import sys
from typing import NoReturn

import typer
from rich.markup import escape
from sqlalchemy.exc import DataError, SQLAlchemyError

from api.cli import access, data, demo, doctor, identity, plans, rejected, serve, sources, storage
from api.cli.session import err
from api.problems import BASES, title
from app.db import unavailable

app = typer.Typer(
    name="parcours",
    help="Parcours: a consent-first customer data platform with identity resolution.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("worker")(serve.worker)
app.add_typer(sources.source, name="source")
app.add_typer(access.client, name="client")
app.add_typer(plans.plan, name="plan")
app.add_typer(rejected.rejected, name="rejected")
app.add_typer(identity.identity, name="identity")
app.add_typer(storage.partition, name="partition")
app.add_typer(storage.retention, name="retention")
app.command("import")(data.import_)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("migrate")(data.migrate)


def main() -> None:
    """Run a command; an error that we foresaw is one line on standard error and status 1."""
    try:
        app()
    except BASES as error:
        _end(f"{title(type(error))} {error}")
    except SQLAlchemyError as error:
        why = unavailable(error)
        if why is None and not isinstance(error, DataError):
            raise
        _end(f"{why[0].upper()}{why[1:]}." if why else "The database cannot hold this value.")
    except UnicodeEncodeError:
        _end("What was given is no text: it is not UTF-8.")


def _end(said: str) -> NoReturn:
    err.print(f"[red]error:[/red] {escape(said)}", highlight=False, soft_wrap=True)
    sys.exit(1)
