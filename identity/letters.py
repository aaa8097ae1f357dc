"""Text in the letters in which it is compared: PURE."""

import re
import unicodedata

# Letters that Unicode does not decompose, so that stripping combining marks would leave them.
_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})
_APOSTROPHES = re.compile(r"['`\u2019\u02bc]")
#: Of ASCII: small letters and digits stay, apostrophes go, everything else parts words.
_ASCII_WORDS = {n: None if chr(n) in "'`" else chr(n).lower() if chr(n).isalnum() else " "
                for n in range(128)}  # fmt: skip


def words(text: str) -> str:
    """Casefold, strip accents, and keep letters and digits separated by single spaces.

    Decomposed before and after: of letters that are capitals only once decomposed (𝕬), and of
    those that casefolding composes.
    """
    if text.isascii():
        return " ".join(text.translate(_ASCII_WORDS).split())
    text = unicodedata.normalize("NFKD", text).casefold()
    text = unicodedata.normalize("NFKD", text).translate(_UNDECOMPOSED)
    text = _APOSTROPHES.sub("", text)
    kept = (c for c in text if not unicodedata.combining(c))
    return " ".join("".join(c if c.isalnum() else " " for c in kept).split())


def digits(text: str) -> str:
    """Write digits of any script, and full-width signs, as ASCII has them."""
    text = unicodedata.normalize("NFKC", text)
    if text.isascii():
        return text
    return "".join(c if (n := unicodedata.decimal(c, None)) is None else str(n) for c in text)
