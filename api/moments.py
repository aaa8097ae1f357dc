"""Points in time as clients state them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _in_utc(stated: datetime) -> datetime:
    """Return the same moment in UTC, where PostgreSQL may write a year that Python cannot read."""
    try:
        return stated.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside of the years 1 to 9999 in UTC") from error


#: A moment with its offset, within the years 1 to 9999 in UTC: what is stored can be read again.
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
