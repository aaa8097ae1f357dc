"""The ledger's job: seal what was recorded, then write the checkpoints elsewhere."""

from urllib.parse import urlsplit

from app.db import Sessions
from app.ledger import ending, seal
from app.ledger.anchor import Anchor, publish
from app.ledger.keystore import Keystore
from app.settings import Settings


class LedgerJob:
    """Seals and publishes; what fails is tried again, and the next look finds the same work."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        """Raises LedgerKeyUnusable when the setting of the wrapping key is no list of keys."""
        self.keystore = Keystore(settings)
        self.anchor = Anchor(settings.anchor_dir)
        self.host = urlsplit(settings.public_url).netloc or "parcours"
        self._sessions = sessions
        self._compared = False

    def round(self) -> int:
        """Seal what waits, publish what was signed, and return how many entries that made.

        The first time, what ledger and keystore say of destroyed keys is compared: one of them may
        have been restored. Raises LedgerKeyUnusable, LedgerForked and AnchorUnusable.
        """
        if not self._compared and self.keystore.exists:
            self._compared = ending.agree(self._sessions, self.keystore, self.anchor)
        made = seal.run(self._sessions, self.keystore, self.anchor, host=self.host)
        publish(self._sessions, self.anchor, self.keystore.vkeys())
        return made
