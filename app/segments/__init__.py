"""Segments: rules over traits and behaviour, computed under consent, with who came and went."""
