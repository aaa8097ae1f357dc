"""Journeys: what people do from stage to stage and channel to channel, declared and observed."""
