"""Sentences: figures as each language writes them, and the words that go with them."""

from datetime import datetime

from app.journeys.labels import LocalizedText
from app.journeys.sentences import (
    Between,
    Figure,
    Lasting,
    Name,
    Points,
    Probability,
    Share,
    number,
    sentence,
    shown,
)


def test_numbers_are_written_as_each_language_writes_them() -> None:
    both: dict[Figure, tuple[str, str]] = {
        1_234_567: ("1\u202f234\u202f567", "1,234,567"),
        -0.04: ("0,0", "0.0"),
        Points(0.0004): ("0,0 point", "0.0 points"),
        Points(0.015): ("+1,5 point", "+1.5 points"),
        Points(-0.02): ("\u22122,0 points", "\u22122.0 points"),
        Between(Points(0.005), Points(0.015)): ("+0,5 à +1,5 point", "+0.5 to +1.5 points"),
        Lasting(0.02): ("1,2 minute", "1.2 minutes"),
        Lasting(0.5): ("30 minutes", "30 minutes"),
        Lasting(1): ("1 heure", "1 hour"),
        Lasting(1.5): ("1,5 heure", "1.5 hours"),
        Lasting(0.0): ("0 seconde", "0 seconds"),
        Share(0.4789): ("47,9\u202f%", "47.9%"),
        Points(-0.031): ("\u22123,1 points", "\u22123.1 points"),
        Points(0.031): ("+3,1 points", "+3.1 points"),
        Between(Points(-0.05), Points(0.1)): ("\u22125,0 à +10,0 points",
                                              "\u22125.0 to +10.0 points"),
        Probability(1e-9): ("< 0,001", "< 0.001"),
        Probability(0.03): ("= 0,030", "= 0.030"),
        datetime(2026, 5, 1).date(): ("1er mai 2026", "1 May 2026"),
        datetime(2026, 12, 31).date(): ("31 décembre 2026", "31 December 2026"),
        Name(LocalizedText(fr="Panier"), "cart"): ("«\u00a0Panier\u00a0»", "“Panier”"),
    }  # fmt: skip
    for figure, (french, english) in both.items():
        assert (shown(figure, "fr"), shown(figure, "en")) == (french, english)
    assert number(1234.5, 1, "fr") == "1\u202f234,5"
    for n, french, english in [
        (0, "0 test tombe", "0 tests fall"),
        (1, "1 test tombe", "1 test falls"),
        (2, "2 tests tombent", "2 tests fall"),
    ]:
        said = sentence("{n} {n:test tombe|tests tombent}", "{n} {n:test falls|tests fall}", n=n)
        assert (said.fr, said.en) == (french, english)
    # What people call things is no template.
    said = sentence("{name} : {n}", "{name}: {n}", name=Name("{n} {0}", ""), n=3)
    assert (said.fr, said.en) == ("«\u00a0{n} {0}\u00a0»\u00a0: 3", "“{n} {0}”: 3")
