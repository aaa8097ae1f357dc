"""Consent meets identity: recording choices of identifiers, and permission for sets of people."""
