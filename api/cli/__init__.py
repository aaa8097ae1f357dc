"""The command line: `parcours`, one file per group of commands; `root` finds them."""
