"""What decisions in docs/decisions forbid, looked for in the code itself."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from api import deps
from app.access import clients, sources

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = [
    path
    for folder in ("api", "app", "consent", "identity")
    for path in (ROOT / folder).rglob("*.py")
]


def calls(path: Path) -> Iterator[str]:
    """Yield the names of the methods that a file calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr


def test_nobody_commits_by_hand() -> None:
    """Decision 0002."""
    assert [path for path in PRODUCT if {"commit", "rollback"} & set(calls(path))] == []


def test_the_transaction_of_a_request_ends_before_its_answer_leaves() -> None:
    """Decision 0002."""
    depends = get_args(deps.Db)[1]
    assert depends.dependency is deps.transaction
    assert depends.scope == "function"


def test_only_the_collector_is_asynchronous() -> None:
    """Decision 0005: an async function elsewhere is a route that can block all the others."""
    found = {
        path.relative_to(ROOT)
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFunctionDef)
    }
    assert found <= {
        Path("api/main.py"),  # the frame around every request, and the life of the writer
        Path("api/routes/collect.py"),
        Path("api/routes/oauth.py"),  # the scheme that tells the OpenAPI document
        Path("api/oauth_server.py"),  # reads the body of a form
    }


def test_there_is_no_queue_beside_the_tables() -> None:
    """Decision 0008."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {re.split(r"[^\w-]", entry)[0] for entry in project["project"]["dependencies"]}
    assert names.isdisjoint({"procrastinate", "celery", "rq", "dramatiq", "arq", "redis", "kafka"})


def test_keys_have_192_random_bits_or_more_and_are_kept_as_a_hash() -> None:
    """Decision 0017."""
    for module in (sources, clients):
        text = Path(module.__file__ or "").read_text(encoding="utf-8")
        sizes = [int(size) for size in re.findall(r"token_urlsafe\((\d+)\)", text)]
        assert sizes
        assert min(sizes) * 8 >= 192
    assert len(sources.hash_key("wk_x")) == 32
