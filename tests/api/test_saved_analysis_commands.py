"""`parcours saved-analysis …`, and what it says of what is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import root
from app.settings import Settings
from tests.app.destinations.world import EMAIL, World
from tests.app.journeys.saved_world import FUNNEL, world

__all__ = ["world"]


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(settings.data_dir))


def run(*words: str, status: int = 0) -> Any:
    done = CliRunner().invoke(root.app, ["saved-analysis", *words])
    assert done.exit_code == status, (words, done.output, done.exception)
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.output


def test_saved_analyses_are_made_asked_paused_and_removed_by_command(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "orders.json"
    file.write_text(json.dumps({**FUNNEL, "alert": {"at": "/rates/raw", "below": 0.5}}))
    made = run("create", "orders", str(file))
    assert (made["purpose"], made["looked_at"], made["open"]) == (EMAIL, None, 0)
    asked = run("run", "orders")
    assert (asked["state"]["value"], asked["open"]) == (0.0, 1)
    assert run("show", "orders") == asked == world.get("/v1/saved-analyses/orders")
    assert run("list", "--json") == [asked]
    assert "Orders" in run("list")
    [alert] = run("alerts", "orders", "--json")
    assert (alert["what"], alert["ended"]) == ("bound", None)
    assert "bound" in run("alerts", "orders")
    run("pause", "orders")
    assert "paused; resume it" in run("run", "orders", status=2)
    assert "paused" in run("list")
    run("resume", "orders")
    assert run("show", "orders")["paused_at"] is None
    file.write_text(json.dumps({**FUNNEL, "alert": {"at": "/nowhere", "below": 0.5}}))
    run("create", "orders", str(file))
    assert run("run", "orders", status=1)["state"]["error"].startswith("there is no figure")
    run("remove", "orders")
    assert run("list", "--json") == []
    assert "orders.json" in run("create", "--help")


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("saved-analysis", "create", "orders", "{file}"), "#/name: Field required"),
        (("saved-analysis", "create", "No Key", "{whole}"), "is no key"),
        (("import", "{map}", "--source", "x", "--dry-run"), "the root element is <map>, not <log>"),
        (("saved-analysis", "show", "orders"), "No such saved analysis. orders"),
    ],
)
def test_what_is_wrong_with_a_question_is_one_line(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {name: tmp_path / f"{name}.json" for name in ("file", "whole")}
    for name, content in (("file", '{"window": "P7D"}'),
                          ("whole", json.dumps({**FUNNEL, "alert": None}))):  # fmt: skip
        files[name].write_text(content)
    files["map"] = tmp_path / "map.xml"
    files["map"].write_text("<map/>")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("sys.argv", ["parcours", *(word.format(**files) for word in words)])
    with pytest.raises(SystemExit) as ended:
        root.main()
    assert ended.value.code in (1, 2)
    assert said in capsys.readouterr().err
