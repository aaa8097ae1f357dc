"""Requests of data subjects (GDPR art. 12 to 22): clock, identity check, plan, erasure."""
