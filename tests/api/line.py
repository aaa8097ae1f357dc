"""The command line as a test types it."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from api.cli.root import app


class Line:
    """The commands of one group on the database of the test."""

    def __init__(self, group: str, home: Path, database_url: str) -> None:
        """Run `parcours GROUP …`."""
        self._group = group
        self._environment = {
            "PARCOURS_DATABASE_URL": database_url,
            "PARCOURS_DATA_DIR": str(home),
            "COLUMNS": "200",
        }

    def __call__(self, *words: str, status: int = 0) -> str:
        """Return what a command prints; raises what it raises."""
        result = CliRunner().invoke(app, [self._group, *words], env=self._environment)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result.output

    def json(self, *words: str, status: int = 0) -> Any:
        """Return what it prints with --json."""
        return json.loads(self(*words, "--json", status=status))
