"""Readers of foreign event logs, one module per file format."""
