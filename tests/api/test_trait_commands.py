"""`parcours trait …` and `parcours computed …` as an administrator types them."""

import json
from pathlib import Path

import pytest

from app.access import sources
from app.db import Sessions
from app.errors import ComputedTraitNotFound, DefinitionInvalid, TraitRuleNotFound
from app.profiles import computing, history
from tests.api.line import Line


def test_a_rule_is_set_listed_and_reset(
    tmp_path: Path, database_url: str, sessions: Sessions
) -> None:
    line = Line("trait", tmp_path, database_url)
    with sessions.begin() as session:
        sources.add(session, "crm")
    made = line.json("set", "plan", "--rule", "source_priority", "--source", "crm")
    assert (made["state"], made["sources"], made["set_by"]) == (
        "in_force", ["crm"], "command line",
    )  # fmt: skip
    assert line.json("set", "city", "--rule", "union")["state"] == "computing"
    while history.advance(sessions):
        pass
    listed = {row["trait"]: (row["rule"], row["state"]) for row in line.json("list")}
    assert listed == {"plan": ("source_priority", "in_force"), "city": ("union", "in_force")}
    with pytest.raises(DefinitionInvalid, match="did you mean union"):
        line("set", "city", "--rule", "unio")
    line("reset", "city")
    with pytest.raises(TraitRuleNotFound):
        line("reset", "city")


def test_a_computed_trait_is_set_from_a_file_listed_and_removed(
    tmp_path: Path, database_url: str, sessions: Sessions
) -> None:
    line = Line("computed", tmp_path, database_url)
    file = tmp_path / "orders.json"
    body = {
        "name": "Orders", "purpose": "marketing.email",
        "definition": {"kind": "count", "event": "Order", "within_days": 30},
    }  # fmt: skip
    file.write_text(json.dumps(body), encoding="utf-8")
    assert line.json("set", "orders", str(file))["state"] == "computing"
    while computing.advance(sessions):
        pass
    [row] = line.json("list")
    assert (row["key"], row["state"], row["share"], row["size"]) == ("orders", "fresh", 1.0, 0)
    for wrong, said in (({**body, "more": 1}, "exactly"), ({**body, "definition": {}}, "kind")):
        file.write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(DefinitionInvalid, match=said):
            line("set", "orders", str(file))
    file.write_text("{", encoding="utf-8")
    with pytest.raises(DefinitionInvalid, match="is not JSON"):
        line("set", "orders", str(file))
    line("remove", "orders")
    with pytest.raises(ComputedTraitNotFound):
        line("remove", "orders")
