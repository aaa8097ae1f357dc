"""Definitions as people write them who know other products: what is wrong, and what was meant."""

from typing import Any

import pytest

from app.errors import DefinitionInvalid
from app.segments import members

KINDS = "a condition is one of: "


@pytest.mark.parametrize(
    ("rule", "begins", "ends"),
    [
        ({"trait": "x", "op": "equals", "value": 1}, "#/rule/op: ", "; did you mean eq?"),
        ({"trait": "x", "op": "contians", "value": 1}, "#/rule/op: ", "; did you mean contains?"),
        ({"trait": "x", "op": "~~", "value": 1}, "#/rule/op: ", "or 'in_next_days'"),
        ({"and": [{"trait": "x", "value": 1}]}, f"#/rule: {KINDS}", "; did you mean all?"),
        ({"evnet": "A"}, f"#/rule: {KINDS}", "; did you mean event?"),
        ({"not": [{"trait": "x", "value": 1}]}, f"#/rule/not: {KINDS}", "group_trait"),
        ({"all": ["x", {"trait": "x", "value": 1}]}, f"#/rule/all/0: {KINDS}", "group_trait"),
        ({"all": {"trait": "x"}}, "#/rule/all: ", "takes a list: [...]"),
        ({"any": []}, "#/rule/any: ", "takes at least 1, and there are 0"),
        ({"event": "A", "count": 2}, "#/rule/count: ", "takes an object: {...}"),
        ({"event": "A", "count": {">=": 2}}, "#/rule/count/>=: ", "; did you mean gte?"),
        ({"trait": "x", "operator": "eq", "value": 1}, "#/rule/operator: ", "; did you mean op?"),
        ({"all": [{"event": "A"}], "any": []}, "#/rule/any: ", "is not known here"),
        ({"all": [{"trait": "x"}]}, "#/rule/all/0/value: ", "exists asks with true or false"),
        ({"event": "A", "filters": []}, "#/rule/filters: ", "; did you mean where?"),
    ],
)
def test_each_says_where_it_is_wrong_and_what_may_have_been_meant(
    rule: dict[str, Any], begins: str, ends: str
) -> None:
    with pytest.raises(DefinitionInvalid) as refused:
        members.parse(rule)
    said = str(refused.value)
    assert (said.startswith(begins), said.endswith(ends)) == (True, True), said


@pytest.mark.parametrize("rule", [None, 3, "plan = 'pro'", [], [{"trait": "x"}], {1: 2}])
def test_what_is_no_condition_at_all_is_refused_too(rule: Any) -> None:
    for wrong in (rule, {"not": rule}, {"all": [rule]}):
        with pytest.raises(DefinitionInvalid, match="a condition is one of"):
            members.parse(wrong)
