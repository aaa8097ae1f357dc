"""The controller as receipts and records name it; a change of it is stated in the ledger."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from consent import ledger, party

Line = Field(min_length=1, max_length=300)
Link = Field(pattern=r"^https?://\S+$", max_length=2048)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Address(_Strict):
    """A postal address, in the words of schema.org."""

    streetAddress: str = Line
    postalCode: str = Field(default="", max_length=30)
    addressLocality: str = Field(default="", max_length=200)
    addressCountry: str = Field(pattern=r"^[A-Z]{2}$", examples=["FR"])


class Officer(_Strict):
    """The data protection officer (GDPR art. 37)."""

    name: str = Field(default="", max_length=300)
    email: str = Line
    telephone: str = Field(default="", max_length=50)


class Authority(_Strict):
    """The authority to which people may complain (GDPR art. 13(2)(d), 77)."""

    name: str = Line
    url: str = Link


class Answerable(_Strict):
    """Somebody who answers beside the controller, and how they are reached."""

    name: str = Line
    address: str = Field(default="", max_length=600)
    email: str = Line
    telephone: str = Field(default="", max_length=50)


class Controller(_Strict):
    """Who answers for the processing (GDPR art. 4(7), 13(1)(a))."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Boutique SA",
                "contact": "Privacy team",
                "address": {
                    "streetAddress": "1 rue de la Paix",
                    "postalCode": "75002",
                    "addressLocality": "Paris",
                    "addressCountry": "FR",
                },
                "email": "privacy@boutique.example",
                "phone": "+33 1 00 00 00 00",
                "jurisdiction": "FR",
                "policy_url": "https://boutique.example/privacy",
                "withdrawal_url": "https://boutique.example/choices",
                "rights_url": "https://boutique.example/rights",
                "authority": {"name": "CNIL", "url": "https://www.cnil.fr"},
                "dpo": {"email": "dpo@boutique.example"},
                "storage_locations": ["FR"],
            }
        },
    )

    name: str = Line
    contact: str = Line
    address: Address
    email: str = Line
    phone: str = Field(min_length=1, max_length=50)
    url: str | None = Field(default=None, pattern=r"^https?://\S+$", max_length=2048)
    jurisdiction: str = Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$", examples=["FR"])
    language: str = Field(default="en", pattern=r"^[a-zA-Z]{2,3}(-[A-Za-z0-9]{1,8})*$")
    policy_url: str = Link
    withdrawal_url: str = Link
    rights_url: str = Link
    authority: Authority
    dpo: Officer | None = None
    joint_controllers: list[Answerable] = Field(
        default_factory=list, max_length=50, description="GDPR art. 26, 30(1)(a)."
    )
    representative: Answerable | None = Field(
        default=None, description="In the Union, of who is not there (GDPR art. 27, 30(1)(a))."
    )
    storage_locations: list[str] = Field(
        default_factory=list, max_length=50, description="Where this installation keeps data."
    )
    measures: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="Of your own, beside those of this product (GDPR art. 32).",
    )


def set_controller(session: Session, wanted: Controller) -> dict[str, Any]:
    """Say who the controller is. The ledger holds a hash of each version, never the text."""
    declared = wanted.model_dump(exclude_none=True)
    text = json.dumps(declared, ensure_ascii=False, sort_keys=True)
    party.set_controller(session, declared)
    digest = hashlib.sha256(text.encode()).hexdigest()
    ledger.append(session, "config", {"what": "controller", "sha256": digest})
    return declared
