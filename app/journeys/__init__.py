"""Journeys: definitions, and the analyses computed over resolved people."""
