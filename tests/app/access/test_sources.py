"""Sources by name: which names there are, and that two at once make one."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.access import sources, write_keys
from app.db import Sessions
from app.errors import AppError, DefinitionInvalid, SourceExists, TrackingPlanExists
from app.plans import versions
from tests.app.access.waiting import waiting


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "web ", " web", "two\nlines", "tab\there", "a\x00b", "zero\u200bwidth", "\ud800",
        ".", "..", "../web", "a/../b", "x" * 201,
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_written_in_an_address_or_on_a_line_is_refused(
    session: Session, name: str
) -> None:
    with pytest.raises(DefinitionInvalid, match=r"^#/name: "):
        sources.add(session, name)


def test_any_other_name_is_taken(session: Session) -> None:
    for name in ("web", "Möbelhaus Süd", "app (iOS)", "@segment/analytics 2.1", "x" * 200, "東京"):
        assert sources.add(session, name)[0].name == name


def test_a_category_without_a_name_or_without_purposes_is_refused(session: Session) -> None:
    wrong: list[dict[str, list[str]]] = [{"": ["analytics.audience"]}, {"ads": []}, {"ads": [""]}]
    for categories in wrong:
        with pytest.raises(DefinitionInvalid, match=r"^#/categories/"):
            sources.add(session, "web", categories=categories)


def test_a_label_is_short(session: Session) -> None:
    source, _ = sources.add(session, "web")
    with pytest.raises(DefinitionInvalid, match=r"^#/label: "):
        write_keys.add(session, source.id, label="x" * 201)


def plan(session: Session) -> None:
    versions.create(session, key="shop", title="Shop", definition={"rules": []})


def attach(session: Session) -> None:
    versions.attach(session, "shop", "web")


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda session: sources.add(session, "web"), SourceExists),
        (plan, TrackingPlanExists),
        (attach, None),
    ],
)
def test_the_same_thing_twice_at_the_same_moment_is_no_failure_of_the_server(
    sessions: Sessions, act: Callable[[Session], Any], error: type[AppError] | None
) -> None:
    if act is attach:
        with sessions.begin() as session:
            sources.add(session, "web")
            plan(session)
            versions.publish(session, "shop")
            versions.create(session, key="other", title="Other", definition={"rules": []})
            versions.publish(session, "other")
    raised: list[BaseException | None] = []

    def second() -> None:
        try:
            with sessions.begin() as session:
                # Another plan for the same source, since one plan is changed by one at a time.
                versions.attach(session, "other", "web") if act is attach else act(session)
        except AppError as refused:
            raised.append(refused)
        else:
            raised.append(None)

    with sessions.begin() as session:
        act(session)
        thread = threading.Thread(target=second)
        thread.start()
        waiting(sessions)
    thread.join(10)
    assert [type(one) for one in raised] == [error or type(None)]
