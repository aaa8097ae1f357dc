"""Consent receipts: Kantara Consent Receipt 1.1, and ISO/IEC TS 27560:2023 in JSON-LD by DPV 2.

Pure: what both say comes from one `Facts`.
"""

from consent.receipts.dpv import dpv
from consent.receipts.facts import Facts
from consent.receipts.kantara import kantara

__all__ = ["Facts", "dpv", "kantara"]
