"""What browser SDKs ask for before they start: where to deliver, and the consent categories."""

from datetime import UTC, datetime
from typing import Any

from fastapi import Request, Security
from fastapi.responses import JSONResponse, Response

from api import write_key as keys
from api.forwarded import public_address
from api.known_sources import KnownSources
from api.problems import documented
from api.resource import Resource
from api.routes.collect import write_key as write_key_scheme
from app.errors import SourceNotFound, UnknownWriteKey

router = Resource(tags=["tracking"])

#: Fetched on every page load. Short, because a page learns of new categories no sooner.
BRIEFLY = "max-age=300"
SEGMENT = "Segment.io"
#: Customer.io's fork of the browser SDK looks for itself under this name, and posts to its maker
#: when it does not find it. Two names in one answer make Segment's SDK fetch code from its maker.
CUSTOMER_IO = "Customer.io Data Pipelines"

EXAMPLE = {
    "integrations": {
        SEGMENT: {
            "apiKey": "wk_…",
            "apiHost": "cdp.example.com/v1",
            "protocol": "https",
            "unbundledIntegrations": [],
            "addBundledMetadata": True,
            "maybeBundledConfigIds": {},
        }
    },
    "consentSettings": {"allCategories": ["analytics"], "hasUnmappedDestinations": True},
}


@router.get(
    "/v1/projects/{write_key}/settings",
    summary="Read the settings with which a browser SDK starts",
    description="Leads the SDK to this server. `consentSettings` are the source's own consent "
    "categories; without any they are left out, because an empty list switches off the SDK on "
    "pages with a consent wrapper.",
    responses=documented(SourceNotFound, ok=EXAMPLE),
)
async def settings_of_source(write_key: str, request: Request) -> Response:
    """Return what @segment/analytics-next reads (research/sdk-contract.md section 5)."""
    return await _answer(SEGMENT, write_key, request)


# analytics-react-native asks a `cdnProxy` without /v1.
@router.get("/projects/{write_key}/settings", include_in_schema=False)
async def settings_without_version(write_key: str, request: Request) -> Response:
    """Return the same to clients that were given the host without /v1."""
    return await _answer(SEGMENT, write_key, request)


@router.get("/customerio/v1/projects/{write_key}/settings", include_in_schema=False)
async def settings_for_customer_io(write_key: str, request: Request) -> Response:
    """Return the same for Customer.io's fork, whose `cdnURL` is then `<this server>/customerio`."""
    return await _answer(CUSTOMER_IO, write_key, request)


@router.get(
    "/sourceConfig",
    summary="Read the settings with which a RudderStack SDK starts",
    dependencies=[Security(write_key_scheme)],
    responses=documented(UnknownWriteKey, ok={"source": {"id": "7", "enabled": True}}),
)
async def source_config(request: Request) -> Response:
    """Return a source without destinations, so that the SDK loads no code of other makers."""
    sources: KnownSources = request.app.state.sources
    key, known = await sources.find_first(keys.candidates(request, None))
    off = {"enabled": False}
    source = {
        "id": str(known.source.id),
        "name": known.source.name,
        "writeKey": key,
        "enabled": True,
        "workspaceId": "parcours",
        # Or the SDK reports its errors and metrics to its maker.
        "config": {"statsCollection": {"errors": off, "metrics": off}},
        "destinations": [],
        # The Kotlin and Swift SDKs read no source without it.
        "updatedAt": (known.source.added_at or datetime.now(UTC)).isoformat(timespec="seconds"),
    }
    # The key often stands in a header alone: a proxy must not give one source's to another.
    return JSONResponse({"source": source}, headers={"Cache-Control": f"private, {BRIEFLY}"})


async def _answer(name: str, key: str, request: Request) -> Response:
    sources: KnownSources = request.app.state.sources
    try:
        known = await sources.find(key)
    except UnknownWriteKey as error:
        raise SourceNotFound("no source has this write key") from error
    scheme, rest = public_address(request, request.app.state.settings)
    destination = {
        "apiKey": key,
        # Without it the SDK sends the events to its maker.
        "apiHost": f"{rest}/v1",
        "protocol": scheme,
        "unbundledIntegrations": [],
        "addBundledMetadata": True,
        "maybeBundledConfigIds": {},
    }
    on = {"enabled": True, "integrations": {}}
    answer: dict[str, Any] = {
        "integrations": {name: destination},
        "plan": {call: {"__default": on} for call in ("track", "identify", "group")},
        "edgeFunction": {},
        "analyticsNextEnabled": True,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }
    if known.source.categories:
        answer["consentSettings"] = {
            "allCategories": sorted(known.source.categories),
            # Whether the SDK starts although the person agreed to none of the categories. It does
            # where the source collects on a basis other than consent; where it collects by
            # consent, an SDK that never starts is what the person chose.
            "hasUnmappedDestinations": not known.asks,
        }
    return JSONResponse(answer, headers={"Cache-Control": f"public, {BRIEFLY}"})
