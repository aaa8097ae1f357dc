"""One file per resource: its addresses, and the models of what comes in and goes out."""
