"""What a receiver that passes people on to Google must tell it of each one's consent."""

from sqlalchemy.orm import Session

from app.consents.permission import permissions
from consent.signals.stamp import UNIVERSAL

#: Google's consent types for user data, and the purposes that answer them. Customer Match takes
#: people of the European Economic Area only with both granted; one that is missing is denied.
TYPES = {"ad_user_data": "ads.share", "ad_personalization": "ads.personalised"}


def consent_of(session: Session, purpose: str, person: int) -> dict[str, dict[str, str]]:
    """Return `google_consent` of one person, as of now; nothing where the purpose is not ads.

    Each message is about one person: there is no batch of which the first one's consent decides.
    """
    if purpose not in UNIVERSAL:
        return {}
    granted = {
        kind: any(p.allowed for p in permissions(session, key, [person]))
        for kind, key in TYPES.items()
    }
    return {"google_consent": {k: "GRANTED" if yes else "DENIED" for k, yes in granted.items()}}
