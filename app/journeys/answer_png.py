"""The picture of an answer as PNG, for slides and messages that show no SVG; pure."""

import re
from collections.abc import Mapping
from typing import Any

from app.journeys import pictures
from app.journeys.wording import Wording

MEDIA_TYPE = "image/png"
#: Two dots for each unit of the drawing, as sharp screens show it.
SCALE = 2.0
#: Dots of a picture: 64 MB while it is painted.
MOST_DOTS = 16_000_000
_SIZE = re.compile(r'<svg [^>]*width="(\d+)" height="(\d+)"')


def draw(answer: Mapping[str, Any], say: Wording | None = None) -> bytes:
    """Return the picture that `pictures.draw` draws, painted; a very long one is less sharp.

    Latin, Greek and Cyrillic letters are the same on every machine; others are painted with the
    machine's own fonts. Raises ValueError for an answer that has no picture.
    """
    drawn = pictures.draw(answer, say)
    # 88 MB of machine code: loaded when a picture is painted.
    import vl_convert  # noqa: PLC0415  # see above

    size = _SIZE.search(drawn)
    dots = int(size[1]) * int(size[2]) if size else 1
    scale = min(SCALE, (MOST_DOTS / dots) ** 0.5)
    painted: bytes = vl_convert.svg_to_png(drawn, scale=scale)
    return painted
