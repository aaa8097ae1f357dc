"""Prints what the demonstration found, as tables that need no manual."""

from collections.abc import Sequence
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from api.demo.receiver import Receiver
from identity.quality import Quality


def ingest(console: Console, sent: int, accepted: int, seconds: float) -> None:
    """Print how fast the events were taken, end to end through the SDK, and how many were kept."""
    console.print(
        f"[bold]{sent:,}[/bold] events sent through the SDK over HTTP in {seconds:.1f} s "
        f"([bold]{sent / seconds:,.0f} events/s[/bold]): [bold]{accepted:,}[/bold] accepted and "
        f"stored durably, {sent - accepted:,} not collected (consent, or no usable identifier)"
    )


def people(
    console: Console,
    before: int,
    after: int,
    api: httpx.Client,
    run: int,
    everybody: Quality,
    willing: Quality,
) -> None:
    """Print what identity resolution did, measured against the truth.

    `everybody` counts all pairs of the truth, `willing` those among people who gave profile.link.
    """
    done = api.get(f"/v1/identity/runs/{run}").json()["result"]
    table = _table("People", "", "figure")
    table.add_row("identifiers linked by events alone", f"{before:,} people")
    table.add_row("after matching (only who gave profile.link)", f"{after:,} people")
    table.add_row("records compared, pairs linked", f"{done['records']:,}, {done['linked']:,}")
    table.add_row("pairs that wait for a person's review", f"{done['reviews']:,}")
    console.print(table)
    table = _table("Against the truth, pairwise", "over", "precision", "recall", "F1")
    for name, found in (
        ("people who gave profile.link", willing),
        ("everybody, also who refused to be linked", everybody),
    ):
        table.add_row(name, f"{found.precision:.4f}", f"{found.recall:.4f}", f"{found.f1:.4f}")
    console.print(table)


def consent(console: Console, api: httpx.Client) -> None:
    """Print the uses that consent denied."""
    table = _table("Consent denials", "use", "purpose", "reason", "denials")
    for row in api.get("/v1/consents/denials").json()["data"]:
        table.add_row(row["use"], row["purpose"], row["reason"], f"{row['denials']:,}")
    console.print(table)


def segments(console: Console, api: httpx.Client, crm: Receiver) -> None:
    """Print the segments' sizes and what the CRM was told."""
    table = _table("Segments", "segment", "purpose", "members")
    for row in api.get("/v1/segments").json()["data"]:
        table.add_row(row["key"], row["purpose"], f"{row['size']:,}")
    console.print(table)
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(crm.received.items()))
    console.print(f"  the CRM's webhook received and verified: {told or 'nothing'}")


def funnel(console: Console, answer: httpx.Response) -> None:
    """Print the funnel with its rates."""
    body = answer.raise_for_status().json()
    semantics = body["semantics"]
    table = _table(
        f"Funnel ({semantics['entry']} entry, window {semantics['window']})",
        "step", "people", "of the step before", "of the first",
    )  # fmt: skip
    for step in body["result"]["steps"]:
        table.add_row(
            step["name"],
            f"{step['n']:,}",
            _share(step["from_previous"]),
            _share(step["from_first"]),
        )
    console.print(table)
    console.print(_scope(body), style="dim")


def matrix(console: Console, answer: httpx.Response) -> None:
    """Print the stage x channel matrix: people per cell, and where the plan was mistaken."""
    body = answer.raise_for_status().json()
    result = body["result"]
    channels = [c["id"] for c in result["channels"]]
    table = _table(
        "Journey: people by stage and channel",
        "stage",
        *(c["name"]["en"] for c in result["channels"]),
        "all",
    )
    cells = {(c["stage"], c["channel"]): c for c in result["cells"]}
    marks = {"planned_not_observed": "?", "observed_not_planned": "!"}
    for stage in result["stages"]:
        row = []
        for channel in channels:
            cell = cells[stage["id"], channel]
            mark = marks.get(cell["status"], "")
            row.append(f"{cell['profiles']:,}{mark}" if cell["profiles"] or mark else "·")
        table.add_row(stage["name"]["en"], *row, f"{stage['profiles']:,}")
    table.add_row(
        "all", *(f"{c['profiles']:,}" for c in result["channels"]), f"{result['profiles']:,}"
    )
    console.print(table)
    console.print(
        "  ! happens and is not on the map   ? is on the map and never happens", style="dim"
    )
    console.print(_scope(body), style="dim")


def addresses(console: Console, url: str) -> None:
    """Print where to look further."""
    table = _table("Look further", "", "")
    table.add_row("API", url)
    table.add_row("its documentation", f"{url}/docs")
    table.add_row("OpenAPI", f"{url}/openapi.json")
    table.add_row("health", f"{url}/readyz")
    console.print(table)


def pictures(console: Console, files: Sequence[Path]) -> None:
    """Print where the pictures are."""
    console.print("\n[bold]Pictures[/bold], all of them on the last, a page for a browser:")
    for file in files:
        console.print(f"  {file}", highlight=False, soft_wrap=True)


def _scope(body: dict[str, object]) -> str:
    """Say over whom a number was computed, and who was left out."""
    excluded = body["excluded"]
    left_out = (
        ", ".join(f"{n:,} {why}" for why, n in excluded.items())
        if isinstance(excluded, dict) and excluded
        else "nobody"
    )
    return (
        f"  {body['n_profiles']:,} people, {body['n_events']:,} events, purpose {body['purpose']}; "
        f"left out: {left_out}"
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table
