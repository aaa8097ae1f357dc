"""Options and bounds that commands of different groups share."""

from typing import Annotated

import typer

#: Of a command that prints nothing but JSON, so that scripts may ask every command alike.
AlwaysJson = Annotated[bool, typer.Option("--json", help="Print JSON, as it does anyway.")]
#: The greatest number that a command takes as an id or version: the database holds some more.
GREATEST = 2**62
