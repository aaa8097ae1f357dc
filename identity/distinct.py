"""Says whether more than so many can each name a value that no other names: a matching."""

from collections.abc import Collection, Mapping, Sequence


def many(own: Collection[Collection[int]], limit: int) -> bool:
    """Say whether more than so many can each name one of their own that no other names.

    A matching, by augmenting paths: others give way to whoever finds all of their own named.
    """
    bears = [some for some in own if some]
    if len(bears) <= limit:
        return False
    taken: dict[int, int] = {}
    names: dict[int, int] = {}
    # Where one looked in vain, nobody will find anything later either.
    vain: set[int] = set()
    for who in range(len(bears)):
        asked: dict[int, int] = {}
        value = _free(who, bears, taken, vain, asked)
        if value is None:
            vain |= asked.keys()
        while value is not None:
            bearer = asked[value]
            taken[value] = bearer
            names[bearer], value = value, names.get(bearer)
        if len(taken) > limit:
            return True
    return False


def _free(
    who: int,
    bears: Sequence[Collection[int]],
    taken: Mapping[int, int],
    vain: Collection[int],
    asked: dict[int, int],
) -> int | None:
    """Return a value that nobody names yet, of one's own or of who could give way; `asked` by whom.

    The nearest first, without recursion: limits may be thousands.
    """
    queue = [who]
    for bearer in queue:
        for value in bears[bearer]:
            if value not in vain and value not in asked:
                asked[value] = bearer
                if value not in taken:
                    return value
                queue.append(taken[value])
    return None
