"""Events: read from the wire, written once, never rewritten."""
