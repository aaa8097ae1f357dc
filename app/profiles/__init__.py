"""Profiles: traits with provenance, folded from the identifiers of one person when read."""
