"""`parcours demo`: the whole loop on a retailer's year, from the SDK to the CRM."""

import signal
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import consent
from api.cli import demo_pictures as pictures
from api.cli import demo_report as report
from api.cli.product import add_sources, client, free_port, running
from api.cli.scratch import scratch
from api.cli.session import opened
from api.demo import retailer
from api.demo.generate import generate
from api.demo.receiver import Receiver, listening
from api.demo.send import send
from app.events import stream
from app.settings import Settings
from identity import assignments
from identity.quality import Quality, pairwise

#: Matching is asked for once everything is loaded; the schedule would only take the cores.
QUIET = {
    "PARCOURS_MATCHING_INTERVAL_SECONDS": "86400",
    "PARCOURS_PRIVATE_DESTINATIONS": "true",  # the CRM that listens is on this machine
}


class _Stopped(SystemExit):
    """The demonstration is to end."""


def demo(
    people: Annotated[int, typer.Option(help="People in the demonstration.", min=50)] = 5000,
    seed: Annotated[int, typer.Option(help="Another seed, another year.")] = 7,
    port: Annotated[
        int, typer.Option(help="Port; another if it is taken.", min=0, max=65_535)
    ] = 8000,
    stay: Annotated[bool, typer.Option(help="Go on serving until Ctrl-C.")] = True,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Keep the data here, not thrown away."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the pictures go.")] = Path("demo"),
    language: Annotated[
        Literal["fr", "en"] | None,
        typer.Option(help="Of the pictures; that of the machine if it is not said."),
    ] = None,
) -> None:
    """Show the product on a retailer's year: loads it through a real SDK, resolves, reports.

    The data is invented from a seed, with the truth about who is who (docs/demo.md).
    """
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    console = Console()
    with suppress(_Stopped), scratch("demo") as thrown_away:
        home = data_dir or thrown_away
        with running(home, free_port(port), environment=QUIET) as url, listening() as crm:
            settings = Settings(data_dir=home, public_url=url)
            api = _show(console, settings, url, crm, people, seed)
            drawn = pictures.write(api, retailer.PICTURES, out, language or pictures.spoken())
            report.pictures(console, drawn)
            if stay:
                console.print("\nThe server goes on; Ctrl-C stops it and throws the data away.")
                print(f"ready {url}", flush=True)  # noqa: T201  # for whoever waits for it
                while True:
                    time.sleep(3600)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped(0)


def _show(
    console: Console, settings: Settings, url: str, crm: Receiver, people: int, seed: int
) -> httpx.Client:
    """Load the demonstration and print what came of it; return who asks the API."""
    with opened(settings) as sessions:
        with sessions() as session:
            purposes = sorted(consent.catalogue.purposes(session))
        keys = add_sources(sessions, retailer.SOURCES)
        api = client(sessions, url, purposes=purposes)
        _set_up(api, crm)
        year = generate(people=people, seed=seed, end=datetime.now(UTC))
        seconds = _load(console, year.calls, keys, url)
        _wait(console, api, "resolving people, segments", lambda: _backlog(api) == 0)
        with sessions() as session:
            before = len(set(assignments.groups(session).values()))
        run = api.post("/v1/identity/runs").raise_for_status().json()["id"]
        _wait(console, api, "matching with Splink", lambda: _finished(api, run))
        _wait(console, api, "telling the CRM", lambda: _told(api))
        with sessions() as session:
            predicted = assignments.people(session)
            willing = assignments.willing(session)
            stored = stream.total(session)
        console.print()
        report.ingest(console, len(year.calls), stored, seconds)
        report.people(
            console,
            before,
            len(set(predicted.values())),
            api,
            run,
            _quality(predicted, year.truth, predicted.keys()),
            _quality(predicted, year.truth, willing),
        )
    report.segments(console, api, crm)
    report.funnel(console, api.post("/v1/analyses/funnel", json=retailer.FUNNEL))
    report.matrix(console, api.post("/v1/analyses/matrix", json={"journey": "retail-purchase"}))
    report.consent(console, api)
    report.addresses(console, url)
    return api


def _quality(
    predicted: Mapping[assignments.Key, int],
    truth: Mapping[assignments.Key, str],
    among: Collection[assignments.Key],
) -> Quality:
    """Compare people with the truth over some of the identifiers that events acted with."""
    keys = [key for key in truth if key in among]
    return pairwise({k: predicted[k] for k in keys}, {k: truth[k] for k in keys})


def _set_up(api: httpx.Client, crm: Receiver) -> None:
    """Create the retailer's segments, its webhook and its journey, as its people would."""
    for segment in retailer.SEGMENTS:
        api.post("/v1/segments", json=segment).raise_for_status()
    destination = api.post(
        "/v1/destinations",
        json={
            "name": "crm",
            "url": crm.url,
            "purpose": "marketing.email",
            "segments": ["recent-buyers", "abandoned-checkout"],
        },
    )
    crm.secret = destination.raise_for_status().json()["secret"]
    api.post("/v1/journeys", json=retailer.JOURNEY).raise_for_status()


def _load(console: Console, calls: list[Any], keys: dict[str, str], url: str) -> float:
    columns = (
        TextColumn("sending events through segment-analytics-python"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("send", total=len(calls))
        return send(calls, keys, host=url, progress=lambda done: bar.update(task, completed=done))


def _wait(console: Console, api: httpx.Client, what: str, done: Callable[[], bool]) -> None:
    started = time.perf_counter()
    with console.status(what):
        while not done():
            time.sleep(0.25)
    console.print(f"{what}: {time.perf_counter() - started:.1f} s")


def _backlog(api: httpx.Client) -> int:
    return int(api.get("/readyz").json()["backlog"])


def _finished(api: httpx.Client, run: int) -> bool:
    state = api.get(f"/v1/identity/runs/{run}").raise_for_status().json()
    if state["state"] == "failed":
        raise RuntimeError(f"the matching run failed: {state['result']}")
    return bool(state["state"] == "done")


def _told(api: httpx.Client) -> bool:
    """Say whether nothing waits in the outbox."""
    [destination] = api.get("/v1/destinations").raise_for_status().json()["data"]
    return bool(destination["waiting"] == 0)
