"""What a receipt is made of, and what must not be missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from consent.errors import ReceiptIncomplete, ReceiptNotPossible
from consent.purposes import Purpose

#: What a receipt must tell of the controller, and of the purpose.
NEEDED = ("name", "contact", "address", "email", "phone", "jurisdiction", "policy_url",
          "withdrawal_url", "rights_url", "authority")  # fmt: skip
DECLARED = ("data_classes", "storage_locations", "retention_days")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a receipt is made of; `declared` is told of the purpose, `recipients` are all known.

    `guardian` is how the holder of parental responsibility was checked who said it for a child
    (GDPR art. 8(2)); None where the person did.
    """

    record_id: UUID
    subject: str
    state: str
    effective_at: datetime
    recorded_at: datetime
    valid_until: datetime | None
    notice: Mapping[str, Any] | None
    method: str
    purpose: Purpose
    declared: Mapping[str, Any]
    recipients: tuple[str, ...]
    controller: Mapping[str, Any]
    #: Where this installation answers, without a slash at the end.
    address: str
    guardian: str | None = None

    def demand_complete(self) -> None:
        """Raise ReceiptIncomplete, naming all that is missing, and ReceiptNotPossible."""
        if self.purpose.lawful_basis != "consent":
            raise ReceiptNotPossible(
                f"{self.purpose.key} rests on {self.purpose.lawful_basis}, not on consent"
            )
        missing = [f"controller: {name}" for name in NEEDED if not self.controller.get(name)]
        missing += [
            f"{self.purpose.key}: declared.{name}"
            for name in DECLARED
            if not self.declared.get(name)
        ]
        if missing:
            raise ReceiptIncomplete("; ".join(missing))

    @property
    def told(self) -> str:
        """How it was collected, and by whom where the person did not say it."""
        if self.guardian is None:
            return self.method
        return f"{self.method}; by a guardian, verified by {self.guardian}"

    @property
    def language(self) -> str:
        """The language of the notice, or the controller's."""
        found = (self.notice or {}).get("language") or self.controller.get("language")
        return str(found or "en")

    @property
    def title(self) -> str:
        """What the purpose is called in that language, or at all."""
        titles = self.purpose.title
        return titles.get(self.language) or titles.get("en") or self.purpose.key

    @property
    def special(self) -> list[str]:
        """Special categories of data (GDPR art. 9)."""
        return list(self.declared.get("special_categories", ()))
