"""Tracking plans: what each source should send, checked as it arrives, with the faults counted."""
