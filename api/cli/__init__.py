"""The command line: `parcours`, one file per group of commands."""

from api.cli.root import main

__all__ = ["main"]
