"""The command `parcours`: finds the groups and turns errors into one clear line."""

import sys
from importlib import import_module
from typing import Any, NamedTuple

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


class Place(NamedTuple):
    """Where a command or group of commands is, and what the list of them says of it."""

    module: str
    name: str
    help: str


#: Each is loaded when it is asked for: all together take twice the time of any one, and neither
#: `parcours source list` nor the list of all needs demonstration and plans.
PLACES = {
    "serve": Place(
        "serve", "serve", "Run the whole product: migrate, serve the API, run the background jobs."
    ),
    "worker": Place(
        "serve",
        "worker",
        "Run the background jobs alone: pipeline, deliveries, lake, segments, matching and more.",
    ),
    "source": Place("sources", "source", "Websites and apps that send events."),
    "client": Place("access", "client", "OAuth clients that read and administer."),
    "signing-key": Place("signing_keys", "signing_key", "The keys that sign access tokens."),
    "plan": Place("plans", "plan", "Tracking plans: what each source should send."),
    "rejected": Place(
        "rejected", "rejected", "Events that were not accepted: list, correct, replay."
    ),
    "trait": Place("traits", "trait", "Survivorship rules of traits."),
    "computed": Place("computed", "computed", "Traits computed from events."),
    "identity": Place(
        "identity", "identity", "Identity resolution: matching runs, rebuild and quality."
    ),
    "namespace": Place("identity_rules", "namespace", "The rules of identifiers, by namespace."),
    "partition": Place("storage", "partition", "The partitions of the events."),
    "retention": Place("storage", "retention", "How long events are kept."),
    "privacy": Place("privacy", "privacy", "Requests of data subjects, and erasure."),
    "destination": Place(
        "destinations", "destination", "Destinations: what is sent where, dry runs, syncs, replays."
    ),
    "ledger": Place("ledger", "ledger", "The ledger of consent, and proofs from it."),
    "consent": Place(
        "consent",
        "consent",
        "Consent: simulations, receipts, the record of processing, bundles for auditors.",
    ),
    "analyst": Place("analysts", "analyst", "Roles of the database for analyses."),
    "import": Place(
        "data",
        "import_",
        "Import events or people; started again it goes on where it stopped, and nothing twice.",
    ),
    "journey": Place("journeys", "journey", "Maps of journeys."),
    "analyse": Place(
        "analyse", "analyse", "Answer a question over the resolved people who allow the purpose."
    ),
    "saved-analysis": Place(
        "saved_analyses",
        "saved_analysis",
        "Saved analyses: asked again on a schedule, with alerts on what they find.",
    ),
    "demo": Place(
        "demo",
        "demo",
        "Show the product on a retailer's year: loads it through a real SDK, resolves, reports.",
    ),
    "doctor": Place(
        "doctor",
        "doctor",
        "Check configuration, database, disk, clock and queues; status 1 when something is wrong.",
    ),
    "migrate": Place("data", "migrate", "Bring the database schema up to date."),
}


class Commands(TyperGroup):
    """The commands by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load a command."""
        if cmd_name not in PLACES:
            return None
        place = PLACES[cmd_name]
        found = getattr(import_module(f"api.cli.{place.module}"), place.name)
        if isinstance(found, typer.Typer):
            command: Any = get_group(found)
        else:
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            command = get_command(single)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run a command; that it was called wrongly is said in JSON too to who asked for that."""
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            _tell_in_json(error, error.format_message())
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, and load nothing of what it lists."""
        listed = TyperGroup(name=self.name, help=self.help, params=self.params)
        for name, place in PLACES.items():
            listed.add_command(TyperCommand(name, help=place.help))
        listed.format_help(ctx, formatter)


app = typer.Typer(
    name="parcours",
    cls=Commands,
    help="Parcours: a consent-first customer data platform with identity resolution.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def parcours() -> None:
    """Parcours: a consent-first customer data platform with identity resolution."""


def main() -> None:
    """Run a command; an error that we foresaw is one line on standard error and status 1.

    With --json it is an object on standard output too.
    """
    try:
        app()
    except Exception as error:
        failures = import_module("api.cli.failures")
        said = failures.line(error)
        if said is None:
            raise
        line = Text.assemble(("error:", "red"), " ", said)
        Console(stderr=True).print(line, highlight=False, soft_wrap=True)
        _tell_in_json(error, said)
        sys.exit(1)


def _tell_in_json(error: Exception, said: str) -> None:
    """Say an error on standard output as well where JSON was asked for."""
    if "--json" in sys.argv:
        sys.stdout.write(import_module("api.cli.failures").document(error, said))
