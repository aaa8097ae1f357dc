"""A string of base64url read bit by bit, in which nothing is ever read past the end."""

import base64
import re

_ALPHABET = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Undecodable(ValueError):
    """A consent string that is not what its standard says; `reason` is one word of why.

    The only exception that the decoders of consent strings raise.
    """

    def __init__(self, reason: str) -> None:
        """`reason` names no part of the string, which is personal data (CJEU C-604/22)."""
        super().__init__(reason)
        self.reason = reason


class Bits:
    """The bits of one segment, from the first on. Each reading raises Undecodable beyond the end.

    The PyPI decoder iab-tcf reads a missing bit as 1, and so 385 of 2,515 truncated strings as
    consent to everything (research/consent.md 0.3).
    """

    def __init__(self, text: str) -> None:
        """Read base64url without padding (RFC 4648 §5), in which a character stands for 6 bits."""
        if not _ALPHABET.fullmatch(text):
            raise Undecodable("not_base64url")
        filled = text + "A" * (-len(text) % 4)
        self._value = int.from_bytes(base64.urlsafe_b64decode(filled), "big")
        self._left = 6 * len(filled)
        self._unread = 6 * len(text)

    @property
    def unread(self) -> int:
        """How many bits are left."""
        return self._unread

    def number(self, width: int) -> int:
        """Return the next `width` bits as a number, the first bit being the highest."""
        if width > self._unread:
            raise Undecodable("truncated")
        self._unread -= width
        self._left -= width
        return (self._value >> self._left) & ((1 << width) - 1)

    def flag(self) -> bool:
        """Return the next bit."""
        return self.number(1) == 1

    def ids(self, width: int) -> frozenset[int]:
        """Return the places, from 1, of the bits that are set among the next `width`."""
        text = format(self.number(width), f"0{width}b") if width else ""
        return frozenset(place for place, bit in enumerate(text, 1) if bit == "1")

    def fibonacci(self, largest: int) -> int:
        """Return a number in Fibonacci coding (GPP specification): it ends with two set bits.

        Raises Undecodable for one above `largest`.
        """
        value, here, following, before = 0, 1, 2, False
        while True:
            bit = self.flag()
            if bit and before:
                return value
            if bit:
                value += here
                if value > largest:
                    raise Undecodable("number_too_large")
            before = bit
            here, following = following, here + following
            if here > 2 * largest and not before:
                raise Undecodable("number_too_large")

    def end(self) -> None:
        """Raise Undecodable unless all that is left is padding, in which no bit is set.

        A set bit means that a field was cut, or is not where it is read.
        """
        if self.number(self._unread):
            raise Undecodable("trailing_bits")
