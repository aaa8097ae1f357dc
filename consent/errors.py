"""What can go wrong in `consent`. The first line of each docstring is the title."""


class ConsentError(Exception):
    """Something about consent is wrong."""


class PurposeNotFound(ConsentError):
    """No such purpose in the catalogue."""


class PurposeExists(ConsentError):
    """This version of the purpose exists already, and versions never change."""


class LawfulBasisFixed(ConsentError):
    """The lawful basis of a purpose never changes; another basis is another purpose."""


class PurposeInvalid(ConsentError):
    """This purpose cannot be added as it is described."""


class AssessmentMissing(ConsentError):
    """This purpose needs a data protection impact assessment and names none."""


class GuardianNeeded(ConsentError):
    """This person is a child, who agrees to nothing without a guardian."""


class AgeNotStated(ConsentError):
    """A guardian agrees for a child, and nobody has said that this is one."""


class NoticeNotFound(ConsentError):
    """No such notice version."""


class NoticeDoesNotAsk(ConsentError):
    """A grant was made on a notice that does not ask for that purpose."""


class NoticeExists(ConsentError):
    """This notice version exists already, and versions never change."""


class StatementInvalid(ConsentError):
    """This may not stand in the ledger, which everybody may read and nobody can change."""


class LedgerEntryNotFound(ConsentError):
    """No such entry in the ledger."""


class LedgerEntryNotSealed(ConsentError):
    """The record is not in the ledger yet; ask again a little later."""


class CheckpointNotFound(ConsentError):
    """The ledger was never signed at this size."""


class VendorListInvalid(ConsentError):
    """This is no vendor list of IAB Europe, or not the one that has this version."""


class ConsentRecordNotFound(ConsentError):
    """No such consent record."""


class ControllerNotFound(ConsentError):
    """Nobody has said yet who the controller is."""


class ReceiptIncomplete(ConsentError):
    """What the receipt must say is not on record."""


class ReceiptNotPossible(ConsentError):
    """This form of receipt cannot tell of this record."""
