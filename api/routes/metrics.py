"""What Prometheus reads: how the product is, what waits, and what became of events."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from api.resource import Resource
from app.health import Health

router = Resource(tags=["operations"])

EXAMPLE = """\
# HELP parcours_ready 1 while events can be stored, also where something is late; 0 otherwise.
# TYPE parcours_ready gauge
parcours_ready 1.0
"""


@router.get(
    "/metrics",
    summary="Say how the product is, for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Gauges in Prometheus' text format, version 1.0.0.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
        }
    },
)
def read_metrics(request: Request) -> Response:
    """Answer within seconds, whatever hangs, and with 200: that it is not ready is a figure too.

    All figures are the product's, whichever of its processes answers, but for `parcours_ready` and
    the counts of reasons, which are this process's. They name no source, no person and no
    destination; `readyz` says the reasons. What cannot be told, as while the database is away, is
    left out.
    """
    state = request.app.state
    health = state.probe.examine(state.writer)
    registry = CollectorRegistry()
    registry.register(_Figures(health))
    return Response(
        generate_latest(registry),
        media_type=CONTENT_TYPE_LATEST,
        headers={"Cache-Control": "no-store"},
    )


class _Figures(Collector):
    """One look at the product."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each figure that is known."""
        health = self._health
        reasons = GaugeMetricFamily(
            "parcours_reasons",
            "Reasons why events cannot be stored (fault) or something is late (worry).",
            labels=["kind"],
        )
        reasons.add_metric(["fault"], len(health.faults))
        reasons.add_metric(["worry"], len(health.worries))
        yield reasons
        for name, about, value in (
            (
                "ready",
                "1 while events can be stored, also where something is late; 0 otherwise.",
                int(not health.faults),
            ),
            ("backlog_events", "Stored events that wait for the worker.", health.backlog),
            (
                "backlog_oldest_seconds",
                "How long the oldest of them has waited.",
                health.oldest_seconds,
            ),
            (
                "worker_heartbeat_seconds",
                "Since when no worker has said that it lives.",
                health.worker_seconds,
            ),
            ("disk_free_bytes", "Free on the embedded database's disk.", health.free_bytes),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"parcours_{name}", about, value=value)
        events = GaugeMetricFamily(
            "parcours_events_last_hour",
            "Events by what became of them, and why they were rejected or destroyed.",
            labels=["outcome", "reason"],
        )
        for (outcome, reason), number in health.events.items():
            events.add_metric([outcome, reason], number)
        yield events
