"""Findings go on where something is odd."""

import re

from app.journeys.findings_answer import FindingsResult


def test_no_french_sentence_has_a_plain_space_where_a_line_must_not_break(
    told: FindingsResult,
) -> None:
    for text in [one.text.fr for one in told.findings] + [told.summary.fr]:
        assert text is not None
        assert not re.search(r" [:;%»]|« |\d\.\d", text), text
