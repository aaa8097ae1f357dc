"""Writes what the demonstration found as pictures, and a page that shows them together."""

import os
from html import escape
from pathlib import Path
from typing import Any, Literal

import httpx

from app.journeys.sentences import Language

#: Of each picture: what one sees on it, in English and in French.
CAPTIONS: dict[str, tuple[str, str]] = {
    "matrix": ("Where people are: stages × channels", "Où elles sont\u00a0: étapes × canaux"),
    "funnel": ("How many get how far", "Combien vont jusqu'où"),
    "sankey": ("Which ways they really take", "Quels chemins elles prennent vraiment"),
    "channels": ("How they change channel", "Comment elles changent de canal"),
    "lost": ("Where they are lost, and what that costs", "Où on les perd, et ce que cela coûte"),
    "friction": ("What makes it hard", "Ce qui les freine"),
    "target": ("How they leave the way that was meant", "Comment elles quittent le parcours voulu"),
    "time": ("How long it takes", "Combien de temps il faut"),
    "retention": ("Who orders again", "Qui recommande"),
}  # fmt: skip


def spoken() -> Language:
    """Return French where the machine is set to it, English everywhere else."""
    named = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    said = next((one for one in named if one), "")
    return "fr" if said.lower().startswith("fr") else "en"


def write(
    api: httpx.Client,
    questions: dict[str, tuple[str, dict[str, Any]]],
    into: Path,
    language: Literal["fr", "en"],
) -> list[Path]:
    """Ask each question, write its picture as NAME.svg and all on one page; return the files."""
    into.mkdir(parents=True, exist_ok=True)
    files = []
    for name, (kind, question) in questions.items():
        answer = api.post(f"/v1/analyses/{kind}", json=question).raise_for_status().json()
        url = f"/v1/analyses/{answer['query_id']}/answer.svg"
        drawn = api.get(url, params={"language": language}).raise_for_status()
        files.append(into / f"{name}.svg")
        files[-1].write_bytes(drawn.content)
    page = into / "index.html"
    page.write_text(_page(list(questions), language), encoding="utf-8")
    return [*files, page]


def _page(names: list[str], language: Language) -> str:
    """Return a page without a script that shows the pictures one below the other."""
    title = "Parcours, démonstration" if language == "fr" else "Parcours, demonstration"
    shown = "\n".join(
        f'<h2>{escape(caption)}</h2>\n<img src="{name}.svg" alt="{escape(caption)}">'
        for name in names
        for caption in [CAPTIONS[name][language == "fr"]]
    )
    style = "body{font-family:sans-serif;max-width:60rem;margin:2rem auto}img{max-width:100%}"
    return (
        f'<!doctype html>\n<html lang="{language}">\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n<h1>{title}</h1>\n{shown}\n</html>\n"
    )
