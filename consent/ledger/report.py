"""What an examination of the ledger finds."""

from dataclasses import dataclass, field

#: More problems than this are not listed.
MOST_LISTED = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, and the first entry that it concerns, where it concerns one."""

    index: int | None
    what: str


@dataclass(slots=True)
class Report:
    """What was found. `compared` are records that were compared with what was sealed of them."""

    size: int = 0
    checkpoints: int = 0
    external: int = 0
    entries: int = 0
    compared: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def first_bad(self) -> int | None:
        """The first entry that is wrong, as far as that can be said."""
        return min((p.index for p in self.problems if p.index is not None), default=None)

    def wrong(self, index: int | None, what: str) -> None:
        """Note a problem."""
        if len(self.problems) < MOST_LISTED:
            self.problems.append(Problem(index, what))


@dataclass(frozen=True, order=True, slots=True)
class Claim:
    """So many entries have this root, says somebody."""

    size: int
    root: bytes
    who: str

    def refuted(self, now: int) -> str:
        """Say what is wrong when the ledger of so many entries does not bear it out."""
        if self.size > now:
            return f"{self.who} has more than the {now} entries that are here: some are gone"
        return f"{self.who} had other entries"
