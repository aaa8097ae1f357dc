"""Which segments people are in, and were in: their stays, as one purpose may see them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.profiles.read import View
from app.segments.tables import Segment, SegmentMember
from identity import graph


def of_views(session: Session, views: Sequence[View]) -> dict[int, list[sa.Row[Any]]]:
    """Return by subject the stays in segments of the views' one purpose; others are not theirs.

    Each with key, entered_at, left_at and why_left; of who allows nothing there are none.
    """
    stays: dict[int, list[sa.Row[Any]]] = {view.subject_id: [] for view in views}
    allowed = {view.subject_id for view in views if view.allowed}
    if not allowed:
        return stays
    query = (
        sa.select(
            SegmentMember.person_id,
            Segment.key,
            SegmentMember.entered_at,
            SegmentMember.left_at,
            SegmentMember.why_left,
        )
        .join(SegmentMember, SegmentMember.segment_id == Segment.id)
        .where(graph.among(SegmentMember.person_id, allowed), Segment.purpose == views[0].purpose)
        .order_by(Segment.key, SegmentMember.entered_at)
    )
    rows: list[sa.Row[Any]] = list(session.execute(query))
    for row in rows:
        stays[row.person_id].append(row)
    return stays
