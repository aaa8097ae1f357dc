"""What can go wrong on the way in. The first line of each docstring is the title."""


class ApiError(Exception):
    """The request cannot be answered."""


class InvalidToken(ApiError):
    """The access token is missing, expired, revoked or not ours."""


class InsufficientScope(ApiError):
    """The access token does not have the scope that this operation needs."""


class WriteKeyNotEnough(ApiError):
    """A write key sends and reads nothing; this operation needs an access token."""


class ProblemTypeNotFound(ApiError):
    """There is no such problem type."""


class ValueUnstorable(ApiError):
    """A value in the request is one that no database can hold."""
