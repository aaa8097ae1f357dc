"""Pictures of answers: what is on them adds up, nothing is cut off, names are those of the map."""

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from app.journeys import canvas, compare_request, pictures, vega
from app.journeys.compare_request import CompareQuery
from app.journeys.definition import Journey
from app.journeys.snapshots import ALWAYS
from app.journeys.wording import Wording

LABELS = tuple(f"tp-{number:02}" for number in range(20))


def _answer(kind: str, result: dict[str, Any], **semantics: Any) -> dict[str, Any]:
    return {
        "query_id": "q", "kind": kind, "semantics": semantics, "result": result, "n_profiles": 1234,
        "n_events": 56789, "as_of": "2026-03-01T10:30:00+00:00", "purpose": "analytics.audience",
        "excluded": {"consent:refused": 7}, "warnings": [],
    }  # fmt: skip


def _flow() -> dict[str, Any]:
    """Paths of two steps, twenty labels at each: the first is frequent, most are rare."""
    first = {label: 400 >> min(number, 8) for number, label in enumerate(LABELS)}
    nodes: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    into: Counter[str | None] = Counter()
    for number, (label, n) in enumerate(first.items()):
        target = None if number == 0 else LABELS[-number]
        gone = n // 3
        links.append({"step": 0, "source": label, "target": target, "n": n - gone})
        into[target] += n - gone
        ends = {"drop": gone, "in_progress": 0, "continues": 0, "arrived": 0}
        nodes.append({"step": 0, "label": label, "n": n, "ends": ends})
    for name, n in into.items():
        ends = {"drop": 0, "in_progress": n, "continues": 0, "arrived": 0}
        nodes.append({"step": 1, "label": name, "n": n, "ends": ends})
    all_ends = Counter[str]()
    for node in nodes:
        all_ends.update(node["ends"])
    total = sum(first.values())
    return {"paths": total, "profiles": total, "distinct": 20, "ends": dict(all_ends),
            "flow": {"nodes": nodes, "links": links}}  # fmt: skip


def _texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)  # noqa: S314 - a text of our own
    return [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_sankey_diagram_names_every_node_and_puts_the_rare_into_other() -> None:
    result = _flow()
    drawn = pictures.draw(_answer("paths", result, label="touchpoint"))
    numbers: dict[str, int] = defaultdict(int)
    for said in _texts(drawn):
        if found := re.fullmatch(r"(tp-\d\d|other(?: \(\d+\+?\))?) ([\d,]+)", said):
            numbers[found[1]] += int(found[2].replace(",", ""))
    steps = [sum(n["n"] for n in result["flow"]["nodes"] if n["step"] == s) for s in (0, 1)]
    # What is drawn are all paths of both steps: nothing is left out, nothing twice.
    assert sum(numbers.values()) == sum(steps)
    assert any(name.startswith("other (") for name in numbers)
    root = ElementTree.fromstring(drawn)  # noqa: S314 - a text of our own
    boxes = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("width") == "14.0"]
    assert len(boxes) == len([t for t in _texts(drawn) if re.match(r"(tp|other)", t)])
    assert len(boxes) < len(result["flow"]["nodes"])


def test_texts_of_a_picture_stay_on_it_and_apart() -> None:
    name = "Une étape dont le nom est beaucoup trop long pour un tableau de cette largeur"
    stages = [{"id": f"s{n}", "name": {"fr": name}, "profiles": 10} for n in range(8)]
    channels = [{"id": f"c{n}", "name": name, "profiles": 10} for n in range(3)]
    cells = [
        {"stage": stage["id"], "channel": channel["id"], "profiles": 10**9, "observed": True,
         "planned": True, "status": "planned+observed", "drop_rate": 0.123}
        for stage in stages for channel in channels
    ]  # fmt: skip
    result = {"stages": stages, "channels": channels, "cells": cells, "profiles": 10**9}
    root = ElementTree.fromstring(  # noqa: S314 - a text of our own
        pictures.draw(_answer("matrix", result), Wording("fr"))
    )
    places: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        # As wide as in DejaVu Sans at most, where a letter is 0.6 of its size on average.
        wide = len(text.text or "") * float(text.get("font-size") or 0) * 0.6
        x = float(text.get("x") or 0)
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[text.get("text-anchor") or ""]
        places[text.get("y") or ""].append((left, left + wide))
    for row in places.values():
        row.sort()
        assert row[0][0] >= 0
        assert row[-1][1] <= canvas.WIDTH
        assert all(one[1] <= two[0] + 1 for one, two in pairwise(row))


def test_cells_that_the_plan_has_otherwise_are_marked_and_explained() -> None:
    stages, channels = [{"id": "buy", "profiles": 3}], [{"id": "web", "profiles": 3},
                                                       {"id": "shop", "profiles": 0}]  # fmt: skip
    seen = {"stage": "buy", "channel": "web", "profiles": 3, "observed": True, "planned": False,
            "status": "observed_not_planned", "drop_rate": None}  # fmt: skip
    unseen = {**seen, "channel": "shop", "profiles": 0, "observed": False, "planned": True,
              "status": "planned_not_observed"}  # fmt: skip
    seen["declared"] = [{"touchpoint": "t", "assessment": "irritant", "moment_of_truth": False}]
    seen["friction"], seen["voice"] = (
        61.7,
        [
            {"instrument": name, "value": value, "n": n}
            for name, value, n in (("nps", 12.4, 30), ("sentiment", -0.25, 90), ("csat", 0, 29))
        ],
    )
    result = {"stages": stages, "channels": channels, "cells": [seen, unseen], "profiles": 3}
    drawn = pictures.draw(_answer("matrix", result))
    assert f'stroke="{canvas.AMBER}"' in drawn
    assert f'stroke="{canvas.RED}"' in drawn
    texts = _texts(drawn)
    assert "happens, and is not on the map" in texts
    assert "on the map, and never happens" in texts
    judged = ("friction 62 / 100", "NPS +12 (30)", "sentiment −0.25 (90)", "CSAT – (29)")
    few = "– (n): of fewer than 30 answers no figure is drawn."
    for said in (*judged, "said: irritant", few):
        assert said in texts, said
    assert "Left out: refused 7" in texts


def test_the_voice_of_a_few_is_not_drawn_as_if_it_were_all() -> None:
    few, many = (
        {"touchpoint": name, "n": n, "high": 0, "low": n, "value": -100.0}
        for name, n in (("desk", 29), ("till", 30))
    )
    survey = {"survey": 1, "instrument": "nps", "touchpoints": [few, many]}
    answer = _answer("voice", {"surveys": [survey]})
    drawn = pictures.draw(answer)
    texts = _texts(drawn)
    assert "too few · 29 answers" in texts
    assert "−100 · 30 answers" in texts
    assert ("worst answers: 29" in drawn, "worst answers: 30" in drawn) == (False, True)
    # The figures stay in the data, and are pale in the chart.
    assert [row["value"] for row in vega.specification(answer)["data"]["values"]] == [-100.0] * 2


def test_ways_between_touchpoints_are_drawn_below_them_the_roughest_first() -> None:
    part = {"name": "failure", "points": 0.5, "weight": 1.0, "n": 40}
    point = {"touchpoint": "form", "score": 50.0, "profiles": 40, "components": [part]}
    ways = [
        {"source": "form", "target": f"call-{n:02}", "score": 80.0 - n, "profiles": 30 + n,
         "components": [{**part, "points": 0.8 - n / 100}]}
        for n in range(20)
    ]  # fmt: skip
    rare: dict[str, Any] = {
        "source": "call-00",
        "target": "form",
        "score": None,
        "profiles": 2,
        "components": [],
    }
    answer = _answer("friction", {"touchpoints": [point], "transitions": [*ways, rare]})
    texts = _texts(pictures.draw(answer))
    assert "Ways from one touchpoint to the next: the roughest 15 of 21" in texts
    drawn = [said for said in texts if said.startswith("→ ")]
    assert drawn == [f"→ call-{n:02}" for n in range(15)]
    assert "80 of 100 · 30 people" in texts
    french = _texts(pictures.draw(answer, Wording("fr")))
    assert any("les 15 passages les plus rudes" in said for said in french)
    rows = vega.specification(answer)["data"]["values"]
    assert (rows[0]["place"], rows[1]["place"], len(rows)) == ("form", "form → call-00", 21)
    none = {**answer, "result": {"touchpoints": [point], "transitions": []}}
    assert not any("Ways" in said for said in _texts(pictures.draw(none)))


@pytest.mark.parametrize(("language", "said"), [("en", "Product page"), ("fr", "Fiche produit")])
def test_labels_have_the_names_of_the_map(language: Any, said: str) -> None:
    journey = Journey.model_validate(
        {
            "key": "j", "name": "j", "stages": [{"id": "buy", "order": 1, "name": {"fr": "J'achète",
                                                                                  "en": "Buy"}}],
            "channels": [{"id": "web", "name": "Site"}],
            "touchpoints": [{"id": "p", "stage": "buy", "channel": "web", "match": {"event": "V"},
                             "name": {"en": "Product page", "fr": "Fiche produit"}}],
        }
    )  # fmt: skip
    say = Wording.of(journey, language)
    assert say.label("touchpoint", "p") == said
    assert say.label("stage_channel · event", "buy × web · V") == (
        f"{say.name('stage', 'buy')} × Site · V"
    )
    assert say.label("touchpoint", None) == ("autres" if language == "fr" else "other")
    assert say.label("event", "unknown · x") == "unknown · x"


def test_what_is_not_drawn_is_said_and_bars_are_in_order() -> None:
    day = {"value": 1, "of": None, "expected": 1.0, "low": 0.0, "high": 2.0, "status": "usual"}
    points = [{**day, "start": f"day {number}"} for number in range(365)]
    result = {"points": points, "alerts": 3}
    for language, said in (("fr", "; les 200 derniers sont dessinés"), ("en", "200 are drawn")):
        words = Wording(language)  # type: ignore[arg-type]  # one of the two
        assert said in pictures.draw(_answer("anomalies", result, unit="day"), words)
    counts = [(41, 50), (59, 48), (20, 47)]
    deviations = [
        {"kind": "skipped", "touchpoint": f"tp-{w}", "to": None, "ways": w, "n": n, "share": 0.1}
        for w, n in counts
    ]
    shown = {"all": {"share_fit": 0.5}, "compared": 100, "deviations": deviations}
    texts = [one for one in _texts(pictures.draw(_answer("conformance", shown))) if "(" in one]
    assert [one.split()[0] for one in texts if one.endswith("%)")] == ["59", "41", "20"]


def test_every_number_of_a_map_of_many_stages_is_read() -> None:
    stages = [{"id": f"s{n}", "name": None, "profiles": 1000 + n} for n in range(30)]
    channels = [{"id": "web", "name": None, "profiles": 10}]
    cells = [
        {"stage": f"s{n}", "channel": "web", "profiles": 2000 + n, "observed": True,
         "planned": True, "status": "planned+observed", "drop_rate": 0.123} for n in range(30)
    ]  # fmt: skip
    result = {"stages": stages, "channels": channels, "cells": cells, "profiles": 5000}
    drawn = pictures.draw(_answer("matrix", result))
    shown = [f"{1000 + n:,}" for n in range(30)] + [f"{2000 + n:,}" for n in range(30)]
    assert not set(shown) - set(_texts(drawn))
    root = ElementTree.fromstring(drawn)  # noqa: S314 - a text of our own
    places = [float(one.get("x") or 0) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert max(places) < float(root.get("width") or 0)


def test_what_an_answer_warns_of_is_on_its_picture_in_its_language() -> None:
    """Whoever looks at a picture alone is told too, and in French whoever reads French."""
    warned = [
        *compare_request.caveats(
            CompareQuery.model_validate(
                {
                    "entry": {"event": "a"},
                    "variants": [{"name": "x", "exposed": {"event": "b"}},
                                 {"name": "y", "rest": True}],
                    "outcomes": [{"name": "o", "match": {"event": "c"}}],
                }
            )
        ),
        "no event is named 'Ordr'; did you mean 'Order'?",
        "12 events say they happen later than as_of and are left out",
    ]  # fmt: skip
    answer = {**_answer("compare", {"alignments": []}), "warnings": warned}
    english, french = (
        " ".join(_texts(pictures.draw(answer, Wording(language)))) for language in ("en", "fr")
    )
    assert all(one in english for one in warned)
    assert "immortal_time : x se reconnaît à un événement" in french.replace("\u00a0", " ")
    assert "aucun événement ne s'appelle 'Ordr'" in french
    assert "12 événements se disent postérieurs" in french
    assert not any(one[:20] in french for one in warned[1:])
    refused = {"quality": None, "refused": "too thin: 1,200 did and 3 did not to learn from; "
               "50 each needed"}  # fmt: skip
    [_, said, *_] = _texts(pictures.draw(_answer("prediction", refused), Wording("fr")))
    assert said.startswith("trop peu pour apprendre")


def test_every_head_of_credit_by_model_is_read_in_both_languages() -> None:
    models = ("first", "last_non_direct", "linear", "position", "j_shaped", "inverse_j",
              "time_decay", "shapley", "shapley_rate", "markov")  # fmt: skip
    result = {"sums": dict.fromkeys(models, 1.0), "conversions": 1, "unattributed": 0,
              "channels": [{"label": "web", "credits": {m: {"conversions": 1.0} for m in models}}],
              }  # fmt: skip
    for language in ("en", "fr"):
        drawn = pictures.draw(_answer("attribution", result, label="channel"), Wording(language))
        assert not [said for said in _texts(drawn) if "…" in said]


def test_what_makes_a_score_is_said_in_french() -> None:
    part = {"n": 10, "predicted": 0.2, "observed": 0.2, "interval": (0.1, 0.3)}
    quality = {"calibration": [part], "auc": 0.734, "auc_interval": (0.71, 0.76)}
    weights = [{"feature": name, "weight": 0.5} for name in (*ALWAYS, "Small")]
    answer = _answer("prediction", {"quality": quality, "weights": weights, "refused": None})
    french, english = (_texts(pictures.draw(answer, Wording(one))) for one in ("fr", "en"))
    assert {*ALWAYS, "Small"} <= set(english)
    assert not set(ALWAYS) & set(french)
    assert "Small" in french
    assert french[0].startswith("Sur 100 paires, 73 (71–76) bien classées")
