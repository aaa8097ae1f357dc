"""`python -m api` is the command `parcours`."""

from api.cli import main

main()
