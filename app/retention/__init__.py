"""Retention: how long events of each source and kind are kept, and their removal after it."""
