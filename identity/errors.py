"""What can go wrong in `identity`. The first line of each docstring is the title."""


class IdentityError(Exception):
    """Something about identity is wrong."""


class IdentifierInvalid(IdentityError):
    """The identifier is empty, blocked, too long or of an invalid namespace."""


class ConstraintInvalid(IdentityError):
    """The two sides of this decision are one identifier."""


class MergeNotFound(IdentityError):
    """No such merge."""


class MergeAlreadyUndone(IdentityError):
    """This merge was undone before."""


class ReviewNotFound(IdentityError):
    """No such review."""


class ReviewDecided(IdentityError):
    """This review was decided before."""


class RunNotFound(IdentityError):
    """No such matching run."""


class NamespaceRulesInvalid(IdentityError):
    """The rules of this namespace contradict each other or cannot be read."""


class LabelsThin(IdentityError):
    """Too few pairs were decided for a recalibration."""


class RecalibrationNotFound(IdentityError):
    """No recalibration counts."""


class ModelNotFound(IdentityError):
    """No model of this run is kept."""


class PreviewTooLarge(IdentityError):
    """A preview of this size needs the command line."""


class NothingCompared(IdentityError):
    """These two have no records that may be compared."""


class SuspensionNotFound(IdentityError):
    """Nothing of this kind was taken back."""
