"""Public holidays, by rule; pure."""

from datetime import date, timedelta


def easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    d = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    e = (32 + 2 * (b % 4) + 2 * (c // 4) - d - c % 4) % 7
    f = d + e - 7 * ((a + 11 * d + 22 * e) // 451) + 114
    return date(year, f // 31, f % 31 + 1)


def french(year: int) -> dict[date, str]:
    """Return the public holidays of France, each with a name that is the same every year.

    Code du travail, article L3133-1; not those of Alsace, Moselle and overseas.
    """
    sunday = easter(year)
    moving = {"easter monday": 1, "ascension": 39, "whit monday": 50}
    fixed = {
        "new year": (1, 1), "1 may": (5, 1), "8 may": (5, 8), "14 july": (7, 14),
        "assumption": (8, 15), "all saints": (11, 1), "11 november": (11, 11),
        "christmas": (12, 25),
    }  # fmt: skip
    return {sunday + timedelta(days=after): name for name, after in moving.items()} | {
        date(year, month, day): name for name, (month, day) in fixed.items()
    }
