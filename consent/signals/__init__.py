"""Consent signals as they arrive on the wire, read into purposes and states."""
