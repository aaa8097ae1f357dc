"""What can go wrong in `app`. The first line of each docstring is the title a caller reads."""


class AppError(Exception):
    """Something went wrong."""


class DatabaseUnavailable(AppError):
    """The database cannot be used now; send the request again a little later."""


class SourceNotFound(AppError):
    """No such source."""


class SourceExists(AppError):
    """A source of this name exists already."""


class WriteKeyNotFound(AppError):
    """The source has no such write key."""


class SourceChanged(AppError):
    """The source was changed since it was read; read it again."""


class ClientNotFound(AppError):
    """No such client."""


class RightsExceeded(AppError):
    """A client gives no rights that it does not have."""


class CredentialNotFound(AppError):
    """The client has no such secret or key in use."""


class UnknownWriteKey(AppError):
    """The write key is missing or unknown."""


class BodyUnreadable(AppError):
    """The request body is not a JSON object of the tracking API."""


class BodyTooLarge(AppError):
    """The request body is larger than this server accepts."""


class OriginNotAllowed(AppError):
    """Pages of this origin may not send for this source."""


class RateLimited(AppError):
    """This is more than the source or client may send; send it again after Retry-After seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        """`retry_after` are whole seconds: SDKs in the field read nothing else."""
        super().__init__(message)
        self.retry_after = max(1, retry_after)


class AnalysesBusy(AppError):
    """As many analyses are computed as the server may compute at once, and enough of them wait."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        """`retry_after` are whole seconds."""
        super().__init__(message)
        self.retry_after = retry_after


class LakeIncomplete(AppError):
    """Files that analyses read are lost; the worker makes them anew from the database."""


class AnalysisTooLarge(AppError):
    """The analysis needs more memory than the server gives one; ask about less."""


class OverCapacity(AppError):
    """The server holds as much of what is sent as it may; send it again a little later."""


class HeadTooLarge(AppError):
    """The request has too much beside its body: its address, its headers or its trailers."""


class BodyTooSlow(AppError):
    """The body of the request did not come in time."""


class HoldKeyUnusable(AppError):
    """The key that held events are sealed with cannot be used."""


class DestinationKeyUnusable(AppError):
    """The key that secrets of destinations are sealed with cannot be used."""


class SuppressionKeyUnusable(AppError):
    """The key of the suppression list cannot be used, so nothing may be stored."""


class PrivacyRequestNotFound(AppError):
    """No such request of a data subject."""


class PrivacyRequestInvalid(AppError):
    """The request of a data subject cannot be taken as it is."""


class PrivacyRequestState(AppError):
    """The request of a data subject is not in a state that allows this."""


class PrivacyRequestDiffers(AppError):
    """Another request has come under this id before."""


class IdentityNotShown(AppError):
    """The identity check failed."""


class PackageNotFound(AppError):
    """There is no package under this address, or no more."""


class ProcessorNotFound(AppError):
    """The destination is not registered as one that speaks OpenDSR."""


class ProcessorUnusable(AppError):
    """The processor does not speak OpenDSR as it should."""


class CallbackNotSigned(AppError):
    """The callback is not signed by a processor that is registered here."""


class JournalUnusable(AppError):
    """A journal beside the database cannot be read or written."""


class VaultEntryNotFound(AppError):
    """The vault holds no proof of these identifiers."""


class VaultOpeningNotFound(AppError):
    """No such opening of the vault."""


class VaultOpeningState(AppError):
    """The opening of the vault is past this, or its time is over."""


class VaultOpeningDenied(AppError):
    """The vault opens for two people who agree, and not for this one."""


class BreachNotFound(AppError):
    """No such breach."""


class BreachState(AppError):
    """This cannot be done about the breach now."""


class SubjectSuppressed(AppError):
    """The data of this person were erased, and nothing about them is stored again."""


class LedgerKeyUnusable(AppError):
    """The keys of the ledger cannot be used."""


class LedgerForked(AppError):
    """The ledger contradicts what was signed before, so nothing more is signed."""


class AnchorUnusable(AppError):
    """Checkpoints cannot be kept where they should be."""


class RejectedEventNotFound(AppError):
    """No such rejected event."""


class RejectedEventClosed(AppError):
    """The rejected event was replayed or discarded already."""


class CorrectionRequired(AppError):
    """The rejected event cannot be replayed as it is kept; send a corrected event."""


class CorrectionInvalid(AppError):
    """The corrected event cannot be kept."""


class StorageFull(AppError):
    """The disk is nearly full; nothing is accepted until there is room."""


class RetentionRuleNotFound(AppError):
    """No such retention rule."""


class PartitionBusy(AppError):
    """Writers hold the open partition; try again a little later."""


class ProfileNotFound(AppError):
    """No such profile."""


class ProfileReferenceInvalid(AppError):
    """A profile is named by its id or by namespace:value."""


class AccountNotFound(AppError):
    """No account is known by this id."""


class PurposeRequired(AppError):
    """A read of personal data must state its purpose."""


class PurposeNotAllowed(AppError):
    """This client is not registered for the purpose it states."""


class SegmentNotFound(AppError):
    """No such segment."""


class SegmentExists(AppError):
    """A segment with this key exists already."""


class SegmentChanged(AppError):
    """The segment was changed since it was read; read it again."""


class JourneyNotFound(AppError):
    """No such journey."""


class JourneyChanged(AppError):
    """The journey was changed since it was read; read it again."""


class JourneyFrozen(AppError):
    """A version of the journey is its reference: nothing of it changes until it is released."""


class MapUnreadable(AppError):
    """The workbook is no map of a journey."""


class AnalysisNotFound(AppError):
    """No such analysis, or it was asked too long ago."""


class AnswerNotDrawn(AppError):
    """There is no picture of an analysis of this kind."""


class AnswerTableNotFound(AppError):
    """An answer has no table of that name."""


class SavedAnalysisNotFound(AppError):
    """No such saved analysis."""


class BucketInvalid(AppError):
    """An analysis has no such number."""


class DestinationNotFound(AppError):
    """No such destination."""


class DestinationExists(AppError):
    """A destination of this name exists already."""


class TrackingPlanNotFound(AppError):
    """No such tracking plan, or no such version of it."""


class TrackingPlanExists(AppError):
    """A tracking plan with this key exists already."""


class TrackingPlanChanged(AppError):
    """Somebody changed the tracking plan meanwhile; read it again."""


class TrackingPlanUnpublished(AppError):
    """The tracking plan has no version that can be used for this."""


class TrackingPlanAttached(AppError):
    """Sources still use the tracking plan; detach them first."""


class AnalystExists(AppError):
    """There is a role of this name in the database already."""


class AnalystNotFound(AppError):
    """No role of this name was made by `parcours analyst add`."""


class SendNotFound(AppError):
    """Nothing of this kind was sent, or what shows it is gone."""


class DefinitionInvalid(AppError):
    """The definition cannot be used as it is."""


class ComputedTraitNotFound(AppError):
    """No such computed trait."""


class SegmentInUse(AppError):
    """Other segments are defined by this segment; delete them first."""


class ComputedTraitInUse(AppError):
    """Segments or destinations use this computed trait; change or delete them first."""


class TraitRuleNotFound(AppError):
    """The trait has no rule of its own; its latest value counts."""


class CursorInvalid(AppError):
    """The cursor was not issued by this server."""


class ImportFailed(AppError):
    """The file cannot be imported."""


class BundleUnusable(AppError):
    """The bundle for auditors cannot be written there."""
