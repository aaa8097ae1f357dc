"""How does the outside reach us? HTTP, and the command line."""
