"""The command `parcours`: finds the groups and turns errors into one clear line."""

import sys
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup
from typer.main import get_command, get_group

#: Where each command or group of commands is. It is loaded when it is asked for: all together take
#: twice the time of any one, and `parcours source list` needs neither demonstration nor plans.
PLACES = {
    "serve": ("serve", "serve"),
    "worker": ("serve", "worker"),
    "source": ("sources", "source"),
    "client": ("access", "client"),
    "signing-key": ("signing_keys", "signing_key"),
    "plan": ("plans", "plan"),
    "rejected": ("rejected", "rejected"),
    "trait": ("traits", "trait"),
    "computed": ("computed", "computed"),
    "identity": ("identity", "identity"),
    "namespace": ("identity_rules", "namespace"),
    "partition": ("storage", "partition"),
    "retention": ("storage", "retention"),
    "privacy": ("privacy", "privacy"),
    "destination": ("destinations", "destination"),
    "ledger": ("ledger", "ledger"),
    "consent": ("consent", "consent"),
    "analyst": ("analysts", "analyst"),
    "import": ("data", "import_"),
    "journey": ("journeys", "journey"),
    "analyse": ("analyse", "analyse"),
    "saved-analysis": ("saved_analyses", "saved_analysis"),
    "demo": ("demo", "demo"),
    "doctor": ("doctor", "doctor"),
    "migrate": ("data", "migrate"),
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
        module, name = PLACES[cmd_name]
        found = getattr(import_module(f"api.cli.{module}"), name)
        if isinstance(found, typer.Typer):
            command: Any = get_group(found)
        else:
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            command = get_command(single)
        command.name = cmd_name
        return command


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
        if "--json" in sys.argv:
            sys.stdout.write(failures.document(error, said))
        sys.exit(1)
