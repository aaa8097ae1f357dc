"""What a router passes over unread is what none of its routes would have answered."""

import re

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from api.main import RESOURCES, TRACKING
from api.resource import Resource
from api.routes import health, oauth

EVERY = [module.router for module in (*TRACKING, oauth, health, *RESOURCES)]
PATHS = sorted({route.path for router in EVERY for route in router.routes})


def plain() -> FastAPI:
    """The same routes, each tried in turn."""
    server = FastAPI(openapi_url=None)
    for router in EVERY:
        each = APIRouter()
        each.routes.extend(router.routes)
        server.include_router(each)
    return server


def chosen(server: FastAPI, method: str, path: str, root: str = "") -> tuple[str, ...]:
    """The method and path of the operation that is meant to answer, of the first that matches."""
    scope = {
        "type": "http",
        "method": method,
        "path": root + path,
        "root_path": root,
        "headers": [],
    }
    found = [(route.matches(scope)[0].value, n) for n, route in enumerate(server.router.routes)]
    best = max(match for match, _ in found)
    return str(best), str(next(n for match, n in found if match == best) if best else -1)


@pytest.mark.parametrize("root", ["", "/behind"])
def test_the_same_router_answers_with_and_without_the_look_at_its_beginning(root: str) -> None:
    quick, slow = FastAPI(openapi_url=None), plain()
    for router in EVERY:
        quick.include_router(router)
    filled = [re.sub(r"\{[^}]*\}", "user_id:a%2Fb", path) for path in PATHS]
    strange = [
        "/",
        "",
        "//",
        "/v1",
        "/v1/",
        "/v1//profiles",
        "/v2/profiles/x",
        "*",
        "/V1/profiles/x",
        "/v1/clients\n",
        "/v1/clients\n\n",
    ]
    hits = 0
    near = [path[:-1] if n % 2 else path + "/" for n, path in enumerate(filled)]
    for path in [*filled, *near, *strange][:: 9 if root else 1]:
        for method in ("GET", "DELETE"):
            said = chosen(quick, method, path, root)
            assert said == chosen(slow, method, path, root), (method, path)
            hits += said[0] != "0"
    assert hits > (10 if root else 100)


def test_a_route_that_comes_later_and_one_that_begins_with_a_parameter_are_found() -> None:
    router = Resource()
    server = FastAPI()
    server.include_router(router)
    with TestClient(server) as client:
        router.add_api_route("/v1/first", lambda: 1)
        assert client.get("/v1/first").status_code == 200
        assert client.get("/v1/second").status_code == 404
        router.add_api_route("/v1/second", lambda: 2)
        assert client.get("/v1/second").json() == 2
        assert client.post("/v1/second").status_code == 405
        assert client.get("/v1/second/").status_code == 200  # sent on to the one without
        assert client.get("/other/x").status_code == 404
        router.add_api_route("/{one}/x", lambda one: one)
        assert client.get("/other/x").json() == "other"
