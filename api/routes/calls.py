"""The paths at which SDKs of several makers deliver, and what each call is."""

from app.events.envelope import TYPES

#: Each path with the type of its single call; None is a batch.
PATHS: dict[str, str | None] = {
    **{f"/v1/{kind}": kind for kind in TYPES},
    "/v1/batch": None,
    "/v1/import": None,
    # analytics-next and its forks: t, i, p, s, g, a, and b for batches.
    **{f"/v1/{kind[0]}": kind for kind in TYPES},
    "/v1/b": None,
    # RudderStack, when a page is left: ?writeKey=, a Blob of text/plain.
    "/beacon/v1/batch": None,
    # Jitsu, from browsers and from servers.
    **{f"/api/s/{kind}": kind for kind in TYPES},
    **{f"/api/s/s2s/{kind}": kind for kind in TYPES},
    "/api/s/batch": None,
    "/api/s/s2s/batch": None,
    # Dittofeed.
    **{f"/api/public/apps/{kind}": kind for kind in TYPES},
    "/api/public/apps/batch": None,
    # June.
    **{f"/sdk/{kind}": kind for kind in TYPES},
    **{f"/sdk/{kind[0]}": kind for kind in TYPES},
    "/sdk/batch": None,
    "/sdk/b": None,
    # Clients that were given the host without /v1; analytics-react-native adds /b to it.
    **{f"/{kind}": kind for kind in TYPES},
    **{f"/{kind[0]}": kind for kind in TYPES},
    "/batch": None,
    "/import": None,
    "/b": None,
}


def documented(path: str) -> bool:
    """Return whether the OpenAPI document names the path; the others are the same operations."""
    return path.startswith("/v1/") and len(path) > len("/v1/x")
