"""The command `parcours`: gathers the groups and turns errors into one clear line."""

import sys

import typer
from rich.markup import escape

from api.cli import access, data, demo, doctor, identity, plans, rejected, serve, sources, storage
from api.cli.session import err
from api.problems import BASES, title

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
        said = escape(f"{title(type(error))} {error}")
        err.print(f"[red]error:[/red] {said}", highlight=False, soft_wrap=True)
        sys.exit(1)
