import subprocess
import sys
from typing import Any

import pytest
import typer

from api.cli.root import PLACES, app

COMMANDS: Any = typer.main.get_command(app)


@pytest.mark.parametrize("name", PLACES)
def test_the_list_says_of_a_command_what_its_own_help_begins_with(name: str) -> None:
    assert COMMANDS.get_command(None, name).help.split("\n")[0] == PLACES[name].help


def test_the_list_has_every_command_and_loads_none() -> None:
    code = (
        "import sys; from api.cli.root import app\n"
        "try: app(['--help'])\n"
        "finally: sys.stderr.write(' '.join(m for m in sys.modules if m.startswith('api.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == "api.cli.root"
    words = {line.split()[1] for line in done.stdout.splitlines() if len(line.split()) > 2}
    assert PLACES.keys() <= words
