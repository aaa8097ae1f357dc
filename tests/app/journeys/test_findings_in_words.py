"""Findings in both languages, as they are read and as a table."""

import json
import re

from app.journeys.answer_rows import rows as rows_of
from app.journeys.findings_answer import FindingsResult
from tests.app.journeys.test_findings import lake, told

__all__ = ["lake", "told"]


def test_no_french_sentence_has_a_plain_space_where_a_line_must_not_break(
    told: FindingsResult,
) -> None:
    for text in [one.text.fr for one in told.findings] + [told.summary.fr]:
        assert text is not None
        assert not re.search(r" [:;%»]|« |\d\.\d", text), text


def test_a_table_of_findings_has_both_languages_and_the_request(told: FindingsResult) -> None:
    table = rows_of({"kind": "findings", "result": told.model_dump(mode="json")})
    assert len(table) == len(told.findings)
    assert table[0]["text_fr"] == told.findings[0].text.fr
    assert table[0]["path"] == told.findings[0].evidence.path
    assert json.loads(table[0]["request"]) == told.findings[0].evidence.request
