"""What a receiver that passes people on to Google must tell it of each one's consent."""

from collections.abc import Collection

from sqlalchemy.orm import Session

from app.consents.permission import usable
from consent.signals.stamp import UNIVERSAL

#: Google's consent types for user data, and the purposes that answer them. Customer Match takes
#: people of the European Economic Area only with both granted; one that is missing is denied.
TYPES = {"ad_user_data": "ads.share", "ad_personalization": "ads.personalised"}


def consent_of(
    session: Session, purpose: str, identifiers: Collection[int]
) -> dict[str, dict[str, str]]:
    """Return `google_consent` of the identifiers sent, as of now; nothing if it is not for ads.

    Each message is about one person: there is no batch of which the first one's consent decides.
    It says one thing of all that it names, so each of them has to grant it: what matching alone has
    joined may have been asked apart.
    """
    if purpose not in UNIVERSAL:
        return {}
    said = {}
    for kind, key in TYPES.items():
        may = usable(session, key, identifiers)
        yes = bool(identifiers) and all(i in may and may[i].allowed for i in identifiers)
        said[kind] = "GRANTED" if yes else "DENIED"
    return {"google_consent": said}
