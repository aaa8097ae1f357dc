"""The ledger: what was decided, and proofs of it that outlive the data and need no trust in us.

`append` and `sealer.step` write it, `store` reads it, `verify` examines it, `check` is what anybody
checks a proof with.
"""

from consent.ledger.check import ProofInvalid
from consent.ledger.note import Signer
from consent.ledger.openings import KeyById, opening
from consent.ledger.report import Report
from consent.ledger.scan import KeysById
from consent.ledger.sealer import INSTALLATION, Identifier, step
from consent.ledger.sealing import SubjectKey
from consent.ledger.statements import append
from consent.ledger.tables import LedgerCheckpoint
from consent.ledger.verify import verify

__all__ = [
    "INSTALLATION",
    "Identifier",
    "KeyById",
    "KeysById",
    "LedgerCheckpoint",
    "ProofInvalid",
    "Report",
    "Signer",
    "SubjectKey",
    "append",
    "opening",
    "step",
    "verify",
]
