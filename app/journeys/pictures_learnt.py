"""Pictures of what decides, and of how good a prediction is; pure."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from app.journeys import canvas
from app.journeys.canvas import BLUE, FAINT, GREEN, GREY, MARGIN, RED, WIDTH, Answer
from app.journeys.cautions import caution
from app.journeys.vega_over_time import driver
from app.journeys.wording import Wording

ROWS = 30
_LASTING = TypeAdapter(timedelta)
#: What is known of everybody (`snapshots.ALWAYS`); other features are names of events.
_FEATURES = {
    "events": "événements", "active days": "jours actifs",
    "days since the last": "jours depuis le dernier",
    "days since the first": "jours depuis le premier",
}  # fmt: skip


def _drivers(answer: Answer, say: Wording) -> str:
    """A forest: the difference that each feature goes with, and how sure that is."""
    result = answer["result"]
    rows = [one for one in result["drivers"] if not one["leaks"]][:ROWS]
    reach = max((abs(end) for one in rows for end in one["interval"]), default=0.0) or 1.0
    left, high = 300, 26
    half = (WIDTH - left - MARGIN - 120) / 2
    zero = left + half
    none = say.say("no difference", "aucun écart")
    parts = [canvas.box(zero, 0, 1, high * len(rows), FAINT, none)]
    for row, one in enumerate(rows):
        y = row * high + 0.0
        low, top = (zero + end / reach * half for end in one["interval"])
        at = zero + one["difference"] / reach * half
        colour = GREY if one["q"] >= 0.05 else GREEN if one["difference"] > 0 else RED
        with_, without = say.share(one["share_with"]), say.share(one["share_without"])
        tip = say.say(f"{with_} with, {without} without", f"{with_} avec, {without} sans")
        sign = "+" if one["difference"] > 0 else ""
        parts += [
            canvas.text(left - 12, y + 17, canvas.fit(driver(one), left - 30), anchor="end"),
            canvas.box(low, y + 12, top - low, 2, colour, tip),
            canvas.box(at - 4, y + 9, 8, 8, colour, tip),
            canvas.text(WIDTH - MARGIN, y + 17, sign + say.share(one["difference"]), anchor="end"),
        ]
    key, below = canvas.legend(
        MARGIN,
        high * len(rows) + 14,
        [
            (say.say("more come to it", "aboutissent plus"), GREEN),
            (say.say("fewer come to it", "aboutissent moins"), RED),
            (say.say("could be chance (q ≥ 5 %)", "peut être le hasard (q ≥ 5 %)"), GREY),
        ],
    )
    said = say.say(
        "A line is a 95 % interval. It says what goes together, not what causes what.",
        "Un trait est un intervalle à 95 %. Cela dit ce qui va ensemble, pas ce qui cause quoi.",
    )
    key.append(canvas.text(MARGIN, below + 18, said, size=11, fill=canvas.SMALL))
    k, n = say.number(result["k"]), say.number(result["n"])
    title = say.say(
        f"What separates the {k} of {n} who come to the outcome",
        f"Ce qui distingue les {k} sur {n} qui aboutissent",
    )
    return canvas.document(answer, title, below + 22, [*parts, *key], say)


def _prediction(answer: Answer, say: Wording) -> str:
    """On the left what was said against what came, on the right what makes the score."""
    result = answer["result"]
    quality = result["quality"]
    none = say.say("No prediction", "Pas de prédiction")
    if quality is None:
        said = [canvas.text(MARGIN, 20, _refused(result, say))]
        return canvas.document(answer, none, 40, said, say)
    size, left = 320.0, 70.0
    ends = [one["interval"][1] for one in quality["calibration"]]
    reach = max([*ends, *(one["predicted"] for one in quality["calibration"])]) or 1.0
    came, foretold = say.say("what came", "ce qui est arrivé"), say.say("foretold", "prédit")
    parts = [
        canvas.box(left, 0, 1, size, FAINT, came),
        canvas.box(left, size, size, 1, FAINT, foretold),
        f'<path d="M{left} {size} L{left + size} 0" stroke="{FAINT}" stroke-dasharray="4 4"/>',
        canvas.text(left + size, size + 18, f"{foretold} → {say.share(reach)}", size=11,
                    anchor="end"),
        canvas.text(left - 8, 10, say.share(reach), size=11, anchor="end"),
        canvas.text(left - 8, size, "0", size=11, anchor="end"),
        canvas.text(left, size + 18, f"{came} ↑", size=11),
    ]  # fmt: skip
    for one in quality["calibration"]:
        x = left + one["predicted"] / reach * size
        low, high = (size - end / reach * size for end in one["interval"])
        y = size - one["observed"] / reach * size
        observed, predicted = say.share(one["observed"]), say.share(one["predicted"])
        tip = f"{foretold} {predicted}, {came} {observed}, n {say.number(one['n'])}"
        parts += [canvas.box(x - 1, high, 2, low - high, GREY, tip)]
        parts += [canvas.box(x - 4, y - 4, 8, 8, BLUE, tip)]
    weights = result["weights"][:12]
    most = max((abs(one["weight"]) for one in weights), default=0.0) or 1.0
    middle = 790.0
    if weights:
        head = say.say("what lowers (red) and raises (green) it",
                       "ce qui la baisse (rouge) et la monte (vert)")  # fmt: skip
        parts.append(canvas.text(WIDTH - MARGIN, 4, head, size=12, anchor="end"))
    for row, one in enumerate(weights):
        y, width = 14 + row * 26.0, abs(one["weight"]) / most * 120
        x = middle if one["weight"] > 0 else middle - width
        colour = GREEN if one["weight"] > 0 else RED
        parts.append(canvas.box(x, y, width, 18, colour, f"{one['weight']:+.2f}"))
        feature = one["feature"]
        name = canvas.fit(say.say(feature, _FEATURES.get(feature, feature)), 250, 12)
        parts.append(canvas.text(middle - 128, y + 14, name, size=12, anchor="end"))
    low, high = (say.number(100 * end) for end in quality["auc_interval"])
    right = f"{say.number(100 * quality['auc'])} ({low}–{high})"
    auc = say.number(quality["auc"], 2)
    title = say.say(
        f"Of 100 pairs {right} are ranked rightly, on a time it had not seen (AUC {auc})",
        f"Sur 100 paires, {right} bien classées, sur une période jamais vue (AUC {auc})",
    )
    if result["refused"]:
        title = f"{none}{say.say('', chr(0xA0))}: {_refused(result, say)}"
    return canvas.document(answer, title, size + 24, parts, say)


def _next_purchase(answer: Answer, say: Wording) -> str:
    """A bar for each tenth of the customers: how many purchases each is to make."""
    result = answer["result"]
    bands, left = result["bands"], 250
    if result["refused"]:
        said = [canvas.text(MARGIN, 20, _refused(result, say))]
        none = say.say("Nothing is foretold", "Rien n'est prédit")
        return canvas.document(answer, none, 40, said, say)
    most = max((band["expected"] for band in bands), default=0.0) or 1.0
    wide: float = WIDTH - left - 330
    parts = []
    for row, band in enumerate(bands):
        y, width = row * 30.0, wide * band["expected"] / most
        n = say.counted(band["n"], "customer customers", "client clients")
        each, alive = say.number(band["expected"], 2), say.share(band["alive"])
        name = say.say(f"tenth {band['band']}: {n}", f"dixième {band['band']}\u00a0: {n}")
        figures = say.say(
            f"{each} purchases each, {alive} still customers",
            f"{each} achats chacun, {alive} encore clients",
        )
        parts += [
            canvas.text(left - 12, y + 16, name, anchor="end"),
            canvas.box(left, y, width, 22, BLUE, figures),
            canvas.text(left + width + 8, y + 16, figures, size=12),
        ]
    expected, alive = say.number(result["expected"]), say.number(result["alive"])
    n = say.number(result["profiles"])
    horizon = say.lasting(_LASTING.validate_python(answer["semantics"]["horizon"]).total_seconds())
    title = say.say(
        f"{expected} purchases to come in {horizon}; {alive} of {n} are still customers",
        f"{expected} achats à venir en {horizon}\u00a0; {alive} de {n} sont encore clients",
    )
    return canvas.document(answer, title, 30 * len(bands) + 6, parts, say)


def _uplift(answer: Answer, say: Wording) -> str:
    """A line for each tenth of the people: what the treatment changed of them, and how sure."""
    result = answer["result"]
    bands, left, high = result["bands"], 250, 28
    if result["refused"]:
        said = [canvas.text(MARGIN, 20, _refused(result, say))]
        none = say.say("Nobody is ranked", "Personne n'est classé")
        return canvas.document(answer, none, 40, said, say)
    ends = [abs(end) for one in bands for end in one["interval"] or (0.0,)]
    reach = max([*ends, *(abs(one["predicted"]) for one in bands)]) or 1.0
    half = (WIDTH - left - MARGIN - 230) / 2
    zero = left + half
    none = say.say("no difference", "aucun écart")
    parts = [canvas.box(zero, 0, 1, high * len(bands), FAINT, none)]
    for row, one in enumerate(bands):
        y, foretold = row * high + 0.0, zero + one["predicted"] / reach * half
        n = say.counted(one["n"], "person people", "personne personnes")
        name = say.say(f"tenth {one['band']}: {n}", f"dixième {one['band']}\u00a0: {n}")
        parts.append(canvas.text(left - 12, y + 18, name, anchor="end"))
        parts.append(canvas.box(foretold - 1, y + 4, 2, 20, GREY, say.share(one["predicted"])))
        if one["interval"] is None:
            continue
        low, top = (zero + end / reach * half for end in one["interval"])
        at = zero + one["difference"] / reach * half
        sure = one["interval"][0] > 0 or one["interval"][1] < 0
        colour = BLUE if not sure else GREEN if one["difference"] > 0 else RED
        sign = "+" if one["difference"] > 0 else ""
        figure = sign + say.share(one["difference"])
        came = say.say("with", "avec"), say.say("without", "sans")
        shares = (say.share(one[arm]["share"]) for arm in ("treated", "control"))
        told = ", ".join(f"{share} {how}" for share, how in zip(shares, came, strict=True))
        parts += [
            canvas.box(low, y + 13, top - low, 2, colour, told),
            canvas.box(at - 4, y + 10, 8, 8, colour, told),
            canvas.text(WIDTH - MARGIN, y + 18, f"{figure} ({told})", size=12, anchor="end"),
        ]
    key, below = canvas.legend(
        MARGIN,
        high * len(bands) + 14,
        [
            (say.say("changed for the better", "changés en mieux"), GREEN),
            (say.say("for the worse", "en pire"), RED),
            (say.say("could be chance", "peut être le hasard"), BLUE),
            (say.say("foretold", "prédit"), GREY),
        ],
    )
    effect = say.share(result["effect"]["difference"])
    finds = say.say(
        "the ranking finds who is changed" if result["finds"] else "the ranking finds nobody",
        "le classement trouve qui change" if result["finds"] else "le classement ne trouve rien",
    )
    title = say.say(
        f"What the treatment changes: {effect} of all; {finds}",
        f"Ce que le traitement change\u00a0: {effect} de tous\u00a0; {finds}",
    )
    return canvas.document(answer, title, below + 10, [*parts, *key], say)


def _refused(result: Mapping[str, Any], say: Wording) -> str:
    return canvas.short(caution(result["refused"] or "", say.language), 130)


DRAWINGS: dict[str, Callable[[Answer, Wording], str]] = {
    "drivers": _drivers,
    "prediction": _prediction,
    "next-purchase": _next_purchase,
    "uplift": _uplift,
}
