"""Destinations: where changes are sent, through an outbox, with consent checked twice."""
