"""Every error a caller can meet, as a problem document (RFC 9457)."""

import re
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from api import slashes
from api.errors import (
    ApiError,
    InsufficientScope,
    InvalidToken,
    ProblemTypeNotFound,
    ValueUnstorable,
    WriteKeyNotEnough,
)
from app import errors as app_errors
from consent import errors as consent_errors
from identity import errors as identity_errors

#: The status of each error. Its title is the first line of its docstring.
STATUS: dict[type[Exception], HTTPStatus] = {
    InvalidToken: HTTPStatus.UNAUTHORIZED,
    InsufficientScope: HTTPStatus.FORBIDDEN,
    WriteKeyNotEnough: HTTPStatus.FORBIDDEN,
    ProblemTypeNotFound: HTTPStatus.NOT_FOUND,
    ValueUnstorable: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.SourceNotFound: HTTPStatus.NOT_FOUND,
    app_errors.SourceExists: HTTPStatus.CONFLICT,
    app_errors.SourceChanged: HTTPStatus.PRECONDITION_FAILED,
    app_errors.WriteKeyNotFound: HTTPStatus.NOT_FOUND,
    app_errors.ClientNotFound: HTTPStatus.NOT_FOUND,
    app_errors.CredentialNotFound: HTTPStatus.NOT_FOUND,
    app_errors.RightsExceeded: HTTPStatus.FORBIDDEN,
    app_errors.UnknownWriteKey: HTTPStatus.UNAUTHORIZED,
    app_errors.BodyUnreadable: HTTPStatus.BAD_REQUEST,
    app_errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    app_errors.OriginNotAllowed: HTTPStatus.FORBIDDEN,
    app_errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    app_errors.OverCapacity: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.HeadTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    app_errors.BodyTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    app_errors.HoldKeyUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.DestinationKeyUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.SuppressionKeyUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.PrivacyRequestNotFound: HTTPStatus.NOT_FOUND,
    app_errors.PrivacyRequestInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.PrivacyRequestState: HTTPStatus.CONFLICT,
    app_errors.PrivacyRequestDiffers: HTTPStatus.CONFLICT,
    app_errors.IdentityNotShown: HTTPStatus.FORBIDDEN,
    app_errors.PackageNotFound: HTTPStatus.NOT_FOUND,
    app_errors.ProcessorNotFound: HTTPStatus.NOT_FOUND,
    app_errors.ProcessorUnusable: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.CallbackNotSigned: HTTPStatus.FORBIDDEN,
    app_errors.JournalUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.VaultEntryNotFound: HTTPStatus.NOT_FOUND,
    app_errors.VaultOpeningNotFound: HTTPStatus.NOT_FOUND,
    app_errors.VaultOpeningState: HTTPStatus.CONFLICT,
    app_errors.VaultOpeningDenied: HTTPStatus.FORBIDDEN,
    app_errors.BreachNotFound: HTTPStatus.NOT_FOUND,
    app_errors.BreachState: HTTPStatus.CONFLICT,
    app_errors.SubjectSuppressed: HTTPStatus.CONFLICT,
    app_errors.LedgerKeyUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.LedgerForked: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.AnchorUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.RejectedEventNotFound: HTTPStatus.NOT_FOUND,
    app_errors.RejectedEventClosed: HTTPStatus.CONFLICT,
    app_errors.CorrectionRequired: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.CorrectionInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.StorageFull: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.RetentionRuleNotFound: HTTPStatus.NOT_FOUND,
    app_errors.PartitionBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.ProfileNotFound: HTTPStatus.NOT_FOUND,
    app_errors.AccountNotFound: HTTPStatus.NOT_FOUND,
    app_errors.ProfileReferenceInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.PurposeRequired: HTTPStatus.BAD_REQUEST,
    app_errors.PurposeNotAllowed: HTTPStatus.FORBIDDEN,
    app_errors.SegmentNotFound: HTTPStatus.NOT_FOUND,
    app_errors.SegmentExists: HTTPStatus.CONFLICT,
    app_errors.SegmentChanged: HTTPStatus.PRECONDITION_FAILED,
    app_errors.JourneyNotFound: HTTPStatus.NOT_FOUND,
    app_errors.JourneyChanged: HTTPStatus.PRECONDITION_FAILED,
    app_errors.JourneyFrozen: HTTPStatus.CONFLICT,
    app_errors.MapUnreadable: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.AnalysesBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.LakeIncomplete: HTTPStatus.SERVICE_UNAVAILABLE,
    app_errors.AnalysisTooLarge: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.AnalysisNotFound: HTTPStatus.NOT_FOUND,
    app_errors.SavedAnalysisNotFound: HTTPStatus.NOT_FOUND,
    app_errors.AnswerNotDrawn: HTTPStatus.NOT_FOUND,
    app_errors.AnswerTableNotFound: HTTPStatus.NOT_FOUND,
    app_errors.BucketInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.DestinationNotFound: HTTPStatus.NOT_FOUND,
    app_errors.DestinationExists: HTTPStatus.CONFLICT,
    app_errors.TrackingPlanNotFound: HTTPStatus.NOT_FOUND,
    app_errors.TrackingPlanExists: HTTPStatus.CONFLICT,
    app_errors.TrackingPlanChanged: HTTPStatus.PRECONDITION_FAILED,
    app_errors.TrackingPlanUnpublished: HTTPStatus.CONFLICT,
    app_errors.TrackingPlanAttached: HTTPStatus.CONFLICT,
    app_errors.ComputedTraitNotFound: HTTPStatus.NOT_FOUND,
    app_errors.SegmentInUse: HTTPStatus.CONFLICT,
    app_errors.ComputedTraitInUse: HTTPStatus.CONFLICT,
    app_errors.TraitRuleNotFound: HTTPStatus.NOT_FOUND,
    app_errors.AnalystExists: HTTPStatus.CONFLICT,
    app_errors.AnalystNotFound: HTTPStatus.NOT_FOUND,
    app_errors.SendNotFound: HTTPStatus.NOT_FOUND,
    app_errors.DefinitionInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.CursorInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    app_errors.BundleUnusable: HTTPStatus.CONFLICT,
    app_errors.ImportFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    consent_errors.PurposeNotFound: HTTPStatus.NOT_FOUND,
    consent_errors.PurposeExists: HTTPStatus.CONFLICT,
    consent_errors.LawfulBasisFixed: HTTPStatus.CONFLICT,
    consent_errors.PurposeInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    consent_errors.AssessmentMissing: HTTPStatus.UNPROCESSABLE_ENTITY,
    consent_errors.GuardianNeeded: HTTPStatus.CONFLICT,
    consent_errors.AgeNotStated: HTTPStatus.CONFLICT,
    consent_errors.NoticeNotFound: HTTPStatus.NOT_FOUND,
    consent_errors.NoticeDoesNotAsk: HTTPStatus.UNPROCESSABLE_ENTITY,
    consent_errors.NoticeExists: HTTPStatus.CONFLICT,
    consent_errors.StatementInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    consent_errors.LedgerEntryNotFound: HTTPStatus.NOT_FOUND,
    consent_errors.LedgerEntryNotSealed: HTTPStatus.CONFLICT,
    consent_errors.CheckpointNotFound: HTTPStatus.NOT_FOUND,
    consent_errors.VendorListInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    consent_errors.ConsentRecordNotFound: HTTPStatus.NOT_FOUND,
    consent_errors.ControllerNotFound: HTTPStatus.NOT_FOUND,
    consent_errors.ReceiptIncomplete: HTTPStatus.CONFLICT,
    consent_errors.ReceiptNotPossible: HTTPStatus.CONFLICT,
    identity_errors.MergeNotFound: HTTPStatus.NOT_FOUND,
    identity_errors.MergeAlreadyUndone: HTTPStatus.CONFLICT,
    identity_errors.ReviewNotFound: HTTPStatus.NOT_FOUND,
    identity_errors.ReviewDecided: HTTPStatus.CONFLICT,
    identity_errors.RunNotFound: HTTPStatus.NOT_FOUND,
    identity_errors.IdentifierInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    identity_errors.ConstraintInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    identity_errors.NamespaceRulesInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    identity_errors.SuspensionNotFound: HTTPStatus.NOT_FOUND,
    identity_errors.NothingCompared: HTTPStatus.NOT_FOUND,
    identity_errors.LabelsThin: HTTPStatus.CONFLICT,
    identity_errors.ModelNotFound: HTTPStatus.NOT_FOUND,
    identity_errors.PreviewTooLarge: HTTPStatus.CONFLICT,
    identity_errors.RecalibrationNotFound: HTTPStatus.NOT_FOUND,
}
#: The problems that no class stands for: their status and title.
INVALID, UNEXPECTED = "request-invalid", "internal-error"
WITHOUT_CLASS: dict[str, tuple[HTTPStatus, str]] = {
    INVALID: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The request does not have the expected form.",
    ),
    UNEXPECTED: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The server failed; the operator finds the cause under this request id.",
    ),
}
#: Errors of one body that are told: each of 300,000 unknown members of 3 MB is one.
MOST_TOLD = 100
#: Programs written for Segment's Profile API read `error`, with codes of its own.
PROFILE_API = "/v1/spaces/"
PROFILE_API_CODES = {
    401: "authentication_error",
    403: "authentication_error",
    404: "not_found",
    422: "validation_error",
    429: "rate_limit_error",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
BASES = (
    ApiError,
    app_errors.AppError,
    consent_errors.ConsentError,
    identity_errors.IdentityError,
)


def slug(kind: type[Exception]) -> str:
    """Return the last part of a problem's `type`: `ProfileNotFound` → `profile-not-found`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def title(kind: type[Exception]) -> str:
    """Return the one sentence that says what is wrong."""
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0]


def request_id(request: Request) -> str:
    """Return the id of this request, made by us unless a middleware set it before."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = uuid4().hex
    return str(request.state.request_id)


def problem(
    request: Request,
    status: int,
    *,
    code: str,
    heading: str,
    detail: str = "",
    headers: dict[str, str] | None = None,
    **members: Any,
) -> Response:
    """Return a problem document; `code` and `message` stand beside it for the SDKs in the field.

    Five Python SDKs read `payload["code"]` and retry a permanent error when it is missing
    (research/sdk-contract.md rule 2).
    """
    body = {
        "type": f"/problems/{code}",
        "title": heading,
        "status": status,
        "detail": detail or heading,
        "instance": slashes.shown(request.url.path),
        "code": code,
        "message": detail or heading,
        "request_id": request_id(request),
        **members,
    }
    if request.url.path.startswith(PROFILE_API):
        body["error"] = {"code": PROFILE_API_CODES.get(status, "invalid_request_error"),
                         "message": detail or heading}  # fmt: skip
    return JSONResponse(
        body, status_code=status, headers=headers, media_type="application/problem+json"
    )


def invalid_documented() -> dict[int | str, dict[str, Any]]:
    """Return the `responses` entry of a request that does not have the expected form."""
    status, heading = WITHOUT_CLASS[INVALID]
    example = {
        "type": f"/problems/{INVALID}",
        "title": heading,
        "status": int(status),
        "code": INVALID,
        "message": "#/name: Field required",
        "errors": [{"pointer": "#/name", "detail": "Field required"}],
    }
    content = {"application/problem+json": {"examples": {INVALID: {"value": example}}}}
    return {int(status): {"description": heading, "content": content}}


def documented(*kinds: type[Exception], ok: Any = None) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an operation: the errors it can answer, and what success is."""
    by_status: dict[int | str, dict[str, Any]] = {}
    if InsufficientScope in kinds:  # whatever takes a token may be sent a write key
        kinds = (*kinds, WriteKeyNotEnough)
    for kind in kinds:
        status = int(STATUS[kind])
        example = {
            "type": f"/problems/{slug(kind)}",
            "title": title(kind),
            "status": status,
            "code": slug(kind),
            "message": title(kind),
        }
        entry = by_status.setdefault(
            status,
            {"description": "", "content": {"application/problem+json": {"examples": {}}}},
        )
        entry["description"] = (entry["description"] + " " + title(kind)).strip()
        entry["content"]["application/problem+json"]["examples"][slug(kind)] = {"value": example}
    if ok is not None:
        by_status[200] = {"description": "Done.", "content": {"application/json": {"example": ok}}}
    return by_status


def let_go(error: BaseException) -> None:
    """Make an error that is being answered hold nothing of the request any more.

    Its traceback holds the frames, and a frame that has the error in a variable holds it again:
    FastAPI's reading of JSON has, and others. Such a cycle holds the body until the collector of
    cycles comes by: 120 bodies of 4.4 MB that were no JSON took 1,000 MB.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]


def answer(request: Request, error: Exception) -> Response:
    """Return the answer to an error that has a status."""
    let_go(error)
    kind = next(k for k in type(error).__mro__ if k in STATUS)
    headers = {}
    if STATUS[kind] is HTTPStatus.UNAUTHORIZED and isinstance(error, ApiError):
        headers["WWW-Authenticate"] = f'Bearer error="invalid_token", error_description="{error}"'
    if isinstance(error, InsufficientScope):  # RFC 6750 §3.1
        said = f'error="insufficient_scope", error_description="{error}"'
        headers["WWW-Authenticate"] = f"Bearer {said}"
    if STATUS[kind] is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    if isinstance(error, app_errors.RateLimited | app_errors.AnalysesBusy):
        headers["Retry-After"] = str(error.retry_after)
    return problem(
        request,
        STATUS[kind],
        code=slug(kind),
        heading=title(kind),
        detail=str(error),
        headers=headers,
    )


def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    let_go(error)
    told: dict[tuple[str, str], None] = {}  # two dependencies of a route read the same body
    for entry in error.errors():
        if len(told) == MOST_TOLD:
            break
        parts = [str(part).replace("~", "~0").replace("/", "~1") for part in entry["loc"]]
        pointer = "#/" + "/".join(parts[1:]) if parts[:1] == ["body"] else "/".join(parts)
        told[pointer, entry["msg"]] = None
    detail = "; ".join(f"{pointer}: {message}" for pointer, message in list(told)[:5])
    return problem(
        request,
        422,
        code=INVALID,
        heading=WITHOUT_CLASS[INVALID][1],
        detail=f"{detail}; only {MOST_TOLD} errors are told" if len(told) == MOST_TOLD else detail,
        errors=[{"pointer": pointer, "detail": message} for pointer, message in told],
    )


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    let_go(error)
    phrase = HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request)
    return problem(
        request,
        error.status_code,
        code=phrase.lower().replace(" ", "-"),
        heading=f"{phrase}.",
        detail=str(error.detail) if error.detail else "",
        headers=headers,
        type="about:blank",  # nothing to say beyond the status (RFC 9457 §4.2.1)
    )


def _allowed(request: Request) -> str:
    """Return every method that the path takes (RFC 9110 §10.2.1).

    The framework names those of the first route alone, and a path has one for each method.
    """
    taken = [
        method
        for method in METHODS
        for route in request.app.router.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]
    return ", ".join(dict.fromkeys(["GET", "HEAD", *taken] if "GET" in taken else taken))


def unexpected(request: Request) -> Response:
    """Return the answer to an error nobody foresaw; it says nothing about the inside."""
    return problem(
        request,
        500,
        code=UNEXPECTED,
        heading=WITHOUT_CLASS[UNEXPECTED][1],
    )


def install(server: FastAPI) -> None:
    """Answer every error of this application with a problem document."""
    for base in BASES:
        server.add_exception_handler(base, answer)
    server.add_exception_handler(RequestValidationError, _invalid)
    server.add_exception_handler(HTTPException, _http)
