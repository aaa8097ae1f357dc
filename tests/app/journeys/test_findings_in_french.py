"""Findings as a French reader needs them set."""

import re

from app.journeys.findings_answer import FindingsResult
from tests.app.journeys.test_findings import lake, told

__all__ = ["lake", "told"]


def test_no_french_sentence_has_a_plain_space_where_a_line_must_not_break(
    told: FindingsResult,
) -> None:
    for text in [one.text.fr for one in told.findings] + [told.summary.fr]:
        assert text is not None
        assert not re.search(r" [:;%»]|« |\d\.\d", text), text
