"""What follows a name and says father or son: PURE."""

from collections.abc import Mapping

#: Which of the people of one name somebody is, by what `words` makes of the suffix. Only what is
#: hardly anybody's name: Sen, Jun and Pai are too many people's.
GENERATIONS: Mapping[str, int] = {
    "sr": 1, "senior": 1, "pere": 1, "i": 1, "1st": 1,
    "jr": 2, "junior": 2, "fils": 2, "hijo": 2, "filho": 2, "ii": 2, "2nd": 2,
    "iii": 3, "neto": 3, "3rd": 3, "iv": 4, "4th": 4,
}  # fmt: skip


def generation(*names: str | None) -> int | None:
    """Return which generation the suffix of one of these names says, as `words` wrote them.

    The first that says one counts; a name that is nothing but a suffix is a name.
    """
    for name in names:
        _, space, suffix = (name or "").rpartition(" ")
        if space and suffix in GENERATIONS:
            return GENERATIONS[suffix]
    return None
