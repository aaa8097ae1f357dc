"""The documentation tells the truth: nothing is missing, nothing is invented, examples work."""

import json
import re
import shlex
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi.testclient import TestClient

from api.cli.root import app as command_line
from api.described import OF_AN_ID
from api.main import create_app
from api.problems import STATUS, WITHOUT_CLASS, slug
from api.routes.segments import SegmentIn
from app import db
from app.access import clients
from app.access.definition import DEFAULT_COLLECTION_PURPOSE
from app.journeys.asked import FunnelIn
from app.journeys.definition import Journey
from app.plans import definition
from app.settings import Settings
from consent.defaults import CATALOGUE

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
ALL = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES, *DECISIONS]
ALL.append(ROOT / "docs" / "decisions" / "README.md")
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in [README, *PAGES])
ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[\w.{}/-]+)")
#: Named in the documentation as what is not there yet.
ANNOUNCED = {"/metrics"}


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document; making it needs no database."""
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none")
    return create_app(settings, db.sessions(db.engine(settings.database_url or ""))).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (method, path, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def commands() -> set[str]:
    """Return every command of the command line: `parcours source add` …"""

    def walk(command: Any, name: str) -> Iterator[str]:
        inner = command.list_commands(None) if hasattr(command, "list_commands") else []
        for key in inner:
            yield from walk(command.get_command(None, key), f"{name} {key}")
        if not inner and not command.hidden:
            yield name

    return set(walk(typer.main.get_command(command_line), "parcours"))


def test_every_setting_is_in_the_operations_page_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(PARCOURS_\w+)` \| ([^|]+?) \|", page, re.MULTILINE))
    assert set(rows) == {f"PARCOURS_{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        shown = rows[f"PARCOURS_{name.upper()}"]
        if isinstance(field.default, int | float):
            assert float(shown.strip("`")) == field.default, name


def test_the_jobs_that_readiness_names_are_documented() -> None:
    source = (ROOT / "app" / "jobs.py").read_text(encoding="utf-8")
    jobs = re.findall(r'^ {12}\("([a-z ]+)", ', source, re.MULTILINE)
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"The worker's jobs: {', '.join(jobs)}. " in page


def test_no_page_names_a_setting_that_does_not_exist() -> None:
    known = {f"PARCOURS_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"PARCOURS_[A-Z_]*[A-Z]", TEXT)) <= known


def test_every_command_is_documented() -> None:
    missing = {c for c in commands() if not re.search(rf"\b{c}\b", TEXT)}
    assert not missing


def test_no_page_names_a_command_that_does_not_exist() -> None:
    known = commands()
    groups = {c.rsplit(" ", 1)[0] for c in known if c.count(" ") == 2}
    named = set(re.findall(r"(?:^\$ |`)(?:\S*/)?(parcours(?: [a-z][a-z-]+)+)", TEXT, re.MULTILINE))
    for name in named:
        words = name.split()
        first = " ".join(words[:2])
        if first in groups:
            assert {" ".join(words[:3]), " ".join(words[:4])} & known, name
        else:
            assert first in known, name


def typed(page: Path) -> list[list[str]]:
    """Return the words of every line of a page that calls `parcours`, without what a shell does."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    text = text.replace('"$MAPS"/', "")
    lines = re.findall(r"^(?:\$ )?(?:\S*/)?parcours (.+)$", text, re.MULTILINE)
    return [shlex.split(re.split(r" > | \| ", line)[0], comments=True) for line in lines]


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_every_command_line_that_is_shown_is_one_that_the_command_takes(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in typed(page):
        for word in words:
            if re.fullmatch(r"[\w-]+\.(json|jwk|csv|ndjson|xlsx)", word):
                Path(word).touch()
        command: Any = typer.main.get_command(command_line)
        while hasattr(command, "list_commands"):
            command = command.get_command(None, words.pop(0))
        command.make_context(command.name, words)


def test_every_scope_is_documented_and_none_is_invented() -> None:
    named = set(re.findall(r"`([a-z]+:(?:read|write|admin|review|process|open))`", TEXT))
    assert named == set(clients.SCOPES)


def test_scopes_said_to_be_reserved_are_demanded_by_no_route(document: dict[str, Any]) -> None:
    demanded = {
        scope
        for _, _, operation in operations(document)
        for way in operation.get("security", [])
        for scope in way.get("OAuth2", [])
    }
    page = (ROOT / "docs" / "crm-and-marketing.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if "| reserved" in line]
    reserved = set(re.findall(r"`([a-z]+:[a-z]+)`", row))
    assert reserved == set(clients.SCOPES) - demanded


def test_every_purpose_of_the_default_catalogue_is_documented_as_it_is() -> None:
    page = (ROOT / "docs" / "privacy-officers.md").read_text(encoding="utf-8")
    for purpose in CATALOGUE:
        days = f"{purpose.valid_days} days" if purpose.valid_days else ""
        mode = "" if purpose.lawful_basis == "contract" else purpose.mode.replace("_", " ")
        parent = f"`{purpose.parent}`" if purpose.parent else ""
        mapped = purpose.declared.get("mappings", {}).get("tcf")
        notes = [
            *([f"TCF {mapped}"] if mapped else []),
            *(["direct marketing"] if purpose.direct_marketing else []),
            *(["explicit"] if purpose.explicit else []),
            *(["adults only"] if purpose.adults_only else []),
        ]
        cells = [f"`{purpose.key}`", parent, purpose.lawful_basis, mode, days, ", ".join(notes)]
        row = "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"
        assert row in page.splitlines(), row


def test_the_default_collection_purpose_is_documented_and_keys_are_long_enough() -> None:
    page = (ROOT / "docs" / "websites-and-apps.md").read_text(encoding="utf-8")
    assert f"The default is `{DEFAULT_COLLECTION_PURPOSE}`" in page
    source = (ROOT / "app" / "access" / "write_keys.py").read_text(encoding="utf-8")
    assert min(int(n) for n in re.findall(r"token_urlsafe\((\d+)\)", source)) * 8 >= 192


def test_every_endpoint_appears_in_some_page(document: dict[str, Any]) -> None:
    missing = [
        p for _, p, _ in operations(document) if not re.search(re.escape(p) + r"(?![\w/])", TEXT)
    ]
    assert not missing


def test_no_page_names_an_endpoint_that_does_not_exist(document: dict[str, Any]) -> None:
    known = {(method, path) for method, path, _ in operations(document)}
    unknown = [
        found for found in ROUTE.findall(TEXT) if found not in known and found[1] not in ANNOUNCED
    ]
    assert not unknown


def test_every_link_between_pages_resolves() -> None:
    for page in ALL:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
                slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
                assert anchor in slugs, f"{page.name}: {target}"


def test_pages_hold_no_paths_of_a_machine_and_no_addresses_of_registries() -> None:
    for page in [*ALL, *(ROOT / "docker").iterdir()]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/root/|/tmp/|pypi|registry\.", text), page.name


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_parts_and_names_what_enforces_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for part in ("Context.", "Decision.", "Consequences.", "Alternatives.", "Enforced by:"):
        assert f"**{part}**" in text, part
    assert len(text.splitlines()) < 60
    enforced = text.rpartition("**Enforced by:**")[2]
    paths = re.findall(r"`((?:tests|benchmarks)[\w/.]*)`", enforced)
    named = re.findall(r'"([^"]+)"', enforced)
    assert paths or named
    assert [path for path in paths if not (ROOT / path).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {c["name"] for c in project["tool"]["importlinter"]["contracts"]}
    assert [n for n in named if not any(c.startswith(n) for c in contracts)] == []


def test_every_decision_is_listed_once() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((0\S+\.md)\)", index) == [page.name for page in DECISIONS]


def test_every_operation_has_a_summary_a_description_and_says_who_may_call_it(
    document: dict[str, Any],
) -> None:
    schemes = document["components"]["securitySchemes"]
    # The settings are public, too: the write key in their path stands in every page.
    public = {"/healthz", "/readyz", "/metrics", "/problems/{name}"}
    public.add("/v1/projects/{write_key}/settings")
    public.add("/v1/opt-out")  # tells a browser what it has sent itself
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        if path in public or path.startswith("/.well-known/"):
            continue
        ways = operation.get("security", [])
        assert ways, where
        for way in ways:
            assert way.keys() <= schemes.keys(), where
            assert way.get("OAuth2", ["-"]), f"{where} demands no scope"
            assert set(way.get("OAuth2", [])) <= set(clients.SCOPES), where


def test_a_client_can_be_generated_that_calls_things_by_plain_names(
    document: dict[str, Any],
) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert [i for i in ids if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", i)] == []
    # Two models of one name: generators leave out whatever needs the second.
    assert [name for name in document["components"]["schemas"] if "__" in name] == []
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}
    for method, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["schema"], f"{method} {path}"
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            unsaid = parameter["description"] == OF_AN_ID.format(name)
            assert not unsaid or name.endswith("_id"), f"{method} {path} {name}"


def test_a_body_with_a_member_that_is_not_known_is_refused(document: dict[str, Any]) -> None:
    def named(part: Any) -> set[str]:
        return set(re.findall(r"#/components/schemas/(\w+)", json.dumps(part)))

    schemas = document["components"]["schemas"]
    found = named([o["requestBody"] for _, _, o in operations(document) if "requestBody" in o])
    while more := named([schemas[name] for name in found]) - found:
        found |= more
    lenient = {
        n for n in found if schemas[n].get("additionalProperties", "properties" in schemas[n])
    }
    assert lenient == {"Declared", "Transfer"}  # what else is declared of a purpose is kept
    assert len(found) > 60


def test_every_documented_error_has_a_problem_type_that_resolves(
    document: dict[str, Any], server: TestClient
) -> None:
    types = {slug(kind) for kind in STATUS} | set(WITHOUT_CLASS)
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            content = answer.get("content", {}).get("application/problem+json", {})
            types |= set(content.get("examples", {}))
    for name in sorted(types):
        answer = server.get(f"/problems/{name}")
        assert answer.status_code == 200, name
        assert answer.json()["title"], name


def test_an_invalid_request_answers_with_a_problem_whose_type_resolves(
    server: TestClient, token: Any
) -> None:
    answer = server.post("/v1/segments", json={}, headers=token("segments:write"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert server.get(answer.json()["type"]).status_code == 200


def _example(operation: dict[str, Any], document: dict[str, Any]) -> Any:
    content = operation["requestBody"]["content"]["application/json"]
    if "example" in content:
        return content["example"]
    schema = content["schema"]
    if "examples" in schema:
        return schema["examples"][0]
    shape = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return shape["example"] if "example" in shape else shape["examples"][0]


def test_the_documented_examples_of_request_bodies_are_accepted(
    document: dict[str, Any], server: TestClient, token: Any, write_key: str
) -> None:
    header = token(purposes=tuple(p.key for p in CATALOGUE))
    #: These name people, pairs or clients that a new server does not have.
    absent = {
        "/v1/identity/reviews/{review_id}/decision",
        "/v1/identity/constraints",
        "/v1/identity/models/rollback",
        "/v1/rejected-events/{rejected_id}",
        "/v1/rejected-events/{rejected_id}/replay",
        "/v1/privacy/requests/{request_id}/checks",
        "/v1/privacy/requests/{request_id}/checks/confirm",
        "/v1/privacy/requests/{request_id}/attestation",
        "/v1/privacy/requests/{request_id}/extension",
        "/v1/privacy/requests/{request_id}/end",
        "/v1/privacy/breaches/{breach_id}/assessment",
        "/v1/privacy/breaches/{breach_id}/steps",
        "/v1/privacy/vault/openings",
        "/v1/analyses/{query_id}/segment",
        "/v1/segments/{key}",
        "/v1/journeys/{key}/reference",
        "/v1/privacy/vault/openings/{opening_id}/refusal",
        "/opendsr/callbacks",
        "/v1/clients/{client_id}/limits",
        "/v1/clients/{client_id}/credentials/rotate",
    }
    #: This one looks at a server that is not there.
    elsewhere = {"/v1/destinations/{destination_id}/opendsr"}
    tried = 0
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        body = _example(operation, document)
        tracking = any("WriteKey" in way for way in operation["security"])
        if tracking and "writeKey" in body:
            body = {**body, "writeKey": write_key}
        basic = b64encode(f"{write_key}:".encode()).decode()
        answer = server.request(
            method,
            re.sub(r"{\w+_id}", "1", path).replace("{key}", "shop"),
            json=body,
            headers={"Authorization": f"Basic {basic}"} if tracking else header,
        )
        expected = {422} if path in elsewhere else {403, 404} if path in absent else {200, 201}
        assert answer.status_code in expected, f"{path}: {answer.text}"
        if tracking and path != "/v1/consents":
            assert answer.json()["rejected"] == [], path
        tried += 1
    assert tried > 15


def test_json_in_the_pages_is_json_and_its_definitions_are_valid() -> None:
    seen = set()
    for page in PAGES:
        for block in blocks(page, "json"):
            value = json.loads(block)
            for key, model in (("touchpoints", Journey), ("rule", SegmentIn), ("steps", FunnelIn)):
                if key in value:
                    model.model_validate(value)
                    seen.add(key)
            if "rules" in value:
                definition.parse(value)
                seen.add("rules")
    assert seen == {"touchpoints", "rule", "steps", "rules"}
