"""How many of a group there must be before anything is said of it; pure."""

#: Groups of fewer people, answers or visits are not judged, where a question says nothing else.
LEAST = 30
