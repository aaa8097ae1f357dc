"""What browser SDKs ask for before they start: where to deliver, and the consent categories."""

from typing import Any

from fastapi import APIRouter, Request, Security
from fastapi.responses import JSONResponse, Response

import consent
from api import write_key
from api.deps import Configuration, Db
from api.forwarded import public_address
from api.problems import documented
from api.routes.collect import write_key as write_key_scheme
from app.access import sources
from app.access.sources import SourceSettings
from app.errors import SourceNotFound, UnknownWriteKey
from consent.resolve import UNCONDITIONAL

router = APIRouter(tags=["tracking"])

#: Fetched on every page load. Short, because a page learns of new categories no sooner.
CACHED = {"Cache-Control": "public, max-age=300"}
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
def settings_of_source(
    write_key: str, request: Request, session: Db, settings: Configuration
) -> Response:
    """Return what @segment/analytics-next reads (research/sdk-contract.md section 5)."""
    return _answer(SEGMENT, write_key, request, session, settings)


@router.get("/customerio/v1/projects/{write_key}/settings", include_in_schema=False)
def settings_for_customer_io(
    write_key: str, request: Request, session: Db, settings: Configuration
) -> Response:
    """Return the same for Customer.io's fork, whose `cdnURL` is then `<this server>/customerio`."""
    return _answer(CUSTOMER_IO, write_key, request, session, settings)


@router.get(
    "/sourceConfig",
    summary="Read the settings with which a RudderStack SDK starts",
    dependencies=[Security(write_key_scheme)],
    responses=documented(UnknownWriteKey, ok={"source": {"id": "7", "enabled": True}}),
)
def source_config(request: Request, session: Db) -> Response:
    """Return a source without destinations, so that the SDK loads no code of other makers."""
    key = write_key.find(request, None)
    found = sources.find_by_key(session, key)
    if found is None:
        raise UnknownWriteKey("the write key is unknown")
    off = {"enabled": False}
    source = {
        "id": str(found.id),
        "name": found.name,
        "writeKey": key,
        "enabled": True,
        "workspaceId": "parcours",
        # Or the SDK reports its errors and metrics to its maker.
        "config": {"statsCollection": {"errors": off, "metrics": off}},
        "destinations": [],
    }
    return JSONResponse({"source": source}, headers=CACHED)


def _answer(
    name: str, key: str, request: Request, session: Db, settings: Configuration
) -> Response:
    source = sources.find_by_key(session, key)
    if source is None:
        raise SourceNotFound("no source has this write key")
    scheme, rest = public_address(request, settings)
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
    if source.categories:
        answer["consentSettings"] = _consent_settings(source, session)
    return JSONResponse(answer, headers=CACHED)


def _consent_settings(source: SourceSettings, session: Db) -> dict[str, Any]:
    """Return Segment's consent settings.

    `hasUnmappedDestinations` is whether the SDK starts although the person agreed to none of the
    categories. It does where the source collects on a basis other than consent; where it collects
    by consent, an SDK that never starts is what the person chose.
    """
    purpose = consent.catalogue.purposes(session).get(source.collection_purpose)
    needs_consent = purpose is None or purpose.lawful_basis not in UNCONDITIONAL
    return {
        "allCategories": sorted(source.categories),
        "hasUnmappedDestinations": not needs_consent,
    }
