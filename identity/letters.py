"""Text in the letters in which it is compared: PURE."""

import re
import unicodedata

# Letters that Unicode does not decompose, so that stripping combining marks would leave them.
_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})
# Letters of alphabets as Latin has them, close enough to be compared: after `words`, so without
# accents. Of Arabic and Hebrew the consonants, which is what they write of a name.
_ROMAN = """
а a б b в v г g д d е e ж zh з z и i к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch
ш sh щ shch ы y э e ю yu я ya і i є e ґ g ј j љ lj њ nj ђ dj ћ c џ dz ь - ъ -
α a β v γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s τ t υ y φ f χ ch ψ ps ω o
ا a ب b ت t ث th ج j ح h خ kh د d ذ dh ر r ز z س s ش sh ص s ض d ط t ظ z ع a غ gh ف f ق q ك k ل l
م m ن n ه h و w ي y ة a ى a ء - پ p چ ch ژ zh ک k گ g ی y
א a ב b ג g ד d ה h ו v ז z ח h ט t י y כ k ך k ל l מ m ם m נ n ן n ס s ע a פ p ף p צ ts ץ ts ק k
ר r ש sh ת t
"""
#: Each letter, and what it is in Latin.
ROMAN: dict[str, str] = {
    letter: "" if latin == "-" else latin
    for letter, latin in zip(_ROMAN.split()[::2], _ROMAN.split()[1::2], strict=True)
}
_ROMAN_TABLE = str.maketrans(ROMAN)
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


def roman(text: str) -> str:
    """Write what `words` wrote in Latin letters, where an alphabet has been given some.

    Сергей is sergei. Chinese, Japanese and Korean stay as they are, and so do other scripts.
    """
    return text if text.isascii() else text.translate(_ROMAN_TABLE)


def roman_sql(column: str) -> str:
    """Write `roman` of a column as SQL of DuckDB, which passes over what is ASCII."""
    several = {letter: latin for letter, latin in ROMAN.items() if len(latin) > 1}
    single = {letter: latin for letter, latin in ROMAN.items() if len(latin) < 2}
    kept = sorted(single, key=lambda letter: single[letter] == "")  # what has no partner goes
    told = f"translate({column}, '{''.join(kept)}', '{''.join(single[x] for x in kept)}')"
    for letter, latin in several.items():
        told = f"replace({told}, '{letter}', '{latin}')"
    return f"case when length({column}) < strlen({column}) then {told} else {column} end"
