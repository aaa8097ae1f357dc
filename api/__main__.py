"""`python -m api` is the command `parcours`."""

from api.cli.root import main

main()
