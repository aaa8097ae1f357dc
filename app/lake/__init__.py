"""The lake: a columnar copy of the events, and the engine that reads it."""
