"""The SDKs that are tried, each with what it cannot do. `docs/sdks.md` says the same in words."""

from dataclasses import dataclass, field

ALL = ("identify", "track", "page", "screen", "group", "alias")


@dataclass(frozen=True, slots=True)
class Sdk:
    """One published SDK in one version and one way of using it."""

    #: Package, version and way, as in the table of the documentation.
    name: str
    #: Python: the module with `Client`. Node: the case of `drive.mjs`. Browser: the page.
    driver: str
    requirements: str = ""
    calls: tuple[str, ...] = ALL
    #: Whether it sends again what was not answered with 200.
    retries: bool = True
    #: Whether it removes properties that are null before it sends.
    drops_nulls: bool = False
    #: Whether it replaces the time that the caller gives by that of the call.
    own_time: bool = False
    #: Whether it remembers the person between calls and makes the device's id itself.
    keeps_person: bool = False
    #: What its driver is told beside the calls.
    options: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name, for the test's own."""
        return self.name


def _python(name: str, module: str, *, way: str = "", **more: bool) -> Sdk:
    package, version = name.rsplit(" ", 1)
    return Sdk(
        f"{name}{f', {way}' if way else ''}",
        module,
        f"{package}-{version}.txt",
        drops_nulls=more.get("drops_nulls", False),
        options={"gzip": more.get("gzip", False)},
    )


SEGMENT = "segment.analytics.client"
PYTHON = [
    _python("segment-analytics-python 2.4.0", SEGMENT),
    _python("segment-analytics-python 2.4.0", SEGMENT, way="gzip", gzip=True),
    _python("segment-analytics-python 2.3.6", SEGMENT),
    _python("analytics-python 1.4.post1", SEGMENT),
    _python("rudder-sdk-python 2.1.9", "rudderstack.analytics.client", gzip=True),
    _python("events-sdk-python 0.0.4", "hightouch.htevents.client"),
    _python("customerio-cdp-analytics 1.1.0", "customerio.analytics.client"),
    _python("segment-analytics-python 2.2.3", SEGMENT),
    _python("analytics-python 1.3.1", "analytics.client"),
    _python("rudder-sdk-python 2.0.2", "rudderstack.analytics.client"),
    _python("rudder-sdk-python 1.0.6", "rudder_analytics.client"),
    _python("june-analytics-python 2.3.0", "june.analytics.client"),
]
NODE = [
    Sdk("@segment/analytics-node 3.1.0", "segment-3"),
    Sdk("@segment/analytics-node 2.1.3", "segment-2"),
    Sdk("analytics-node 6.2.0", "analytics-6"),
    Sdk("@rudderstack/rudder-sdk-node 3.0.13", "rudder"),
    Sdk("@customerio/cdp-analytics-node 0.5.9", "customerio"),
    Sdk("@segment/analytics-node 1.3.0", "segment-1"),
    Sdk("analytics-node 5.2.0", "analytics-5"),
    Sdk("analytics-node 3.5.0", "analytics-3"),
    Sdk("@rudderstack/rudder-sdk-node 2.1.11", "rudder-2", retries=False),
    Sdk("@rudderstack/rudder-sdk-node 1.1.5", "rudder-1", retries=False),
    Sdk("@expo/rudder-sdk-node 1.1.1", "expo", retries=False),
    Sdk("@rudderstack/analytics-js-service-worker 3.3.13", "service-worker", retries=False),
    Sdk(
        "@jitsu/js 1.11.0, server",
        "jitsu",
        calls=("identify", "track", "page", "group"),
        retries=False,
        own_time=True,
        keeps_person=True,
    ),
    Sdk(
        "@dittofeed/sdk-node 0.1.2",
        "dittofeed",
        calls=("identify", "track", "page", "screen"),
        retries=False,
    ),
]
SERVER = [*PYTHON, *NODE]


@dataclass(frozen=True, slots=True)
class Page:
    """One published browser SDK in one version and one way of using it."""

    name: str
    #: The script of `browse.mjs`.
    script: str
    alias: bool = True
    #: Whether what is cut off when a page is left comes again on the next visit.
    resumes: bool = True
    #: Whether it sends again what was answered with 429 or 5xx.
    retries: bool = False
    #: Whether a call that follows `identify` at once knows who it is.
    identifies_at_once: bool = True

    def __str__(self) -> str:
        """Return the name, for the test's own."""
        return self.name


NEXT = "@segment/analytics-next 1.84.3"
BROWSER = [
    Page(NEXT, "segment", retries=True),
    Page(f"{NEXT}, keepalive", "segment-keepalive", retries=True),
    Page(f"{NEXT}, batching", "segment-batching", retries=True),
    Page(f"{NEXT}, snippet", "snippet", retries=True),
    Page("@segment/analytics-next 1.70.0", "segment-1.70"),
    Page("@ht-sdks/events-sdk-js-browser 1.5.1", "hightouch"),
    Page("@customerio/cdp-analytics-browser 0.5.11", "customerio"),
    Page("@rudderstack/analytics-js 3.34.1", "rudder", retries=True),
    Page("@rudderstack/analytics-js 3.34.1, batching", "rudder-batch", retries=True),
    Page("@rudderstack/analytics-js 3.34.1, beacon", "rudder-beacon"),
    Page("rudder-sdk-js 2.52.21", "rudder-2", retries=True),
    Page("@june-so/analytics-next 2.0.0", "june"),
    Page("@dittofeed/sdk-web 0.1.2", "dittofeed", alias=False, resumes=False),
    Page(
        "@jitsu/js 1.11.0, browser", "jitsu", alias=False, resumes=False, identifies_at_once=False
    ),
]
#: Tried on top of the newest analytics-next.
CONSENT = "@segment/analytics-consent-tools 2.0.3"
