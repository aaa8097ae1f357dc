"""The ledger of consent in operation: its keys, its sealer, and its checkpoints elsewhere."""
