"""Everything an operator can set, read once at the edge from `PARCOURS_*`."""

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.logs import Level


class Settings(BaseSettings):
    """The configuration of one process; frozen, so that nobody changes it half-way.

    Documented, setting by setting, in `docs/operations.md` (a test compares the two).
    """

    model_config = SettingsConfigDict(
        env_prefix="PARCOURS_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    database_url: str | None = Field(
        default=None,
        description="PostgreSQL >= 16 to use. When empty, the embedded PostgreSQL is started.",
    )
    data_dir: Path = Field(
        default=Path("~/.parcours"),
        description="Where the embedded PostgreSQL and the lake live.",
    )
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        description="The address under which clients reach this server; issuer of the tokens.",
    )
    public_url_from_host: bool = Field(
        default=False,
        description="Lead browsers to the address they asked for instead of `public_url`; `serve` "
        "turns it on where `public_url` is not set.",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1,::1",
        description="Addresses of proxies whose X-Forwarded-Host, -Proto and -For are believed.",
    )
    default_region: str = Field(
        default="",
        pattern="^([A-Z]{2})?$",
        description="Country (ISO 3166, such as FR) of phone numbers that name none.",
    )
    auto_merge_threshold: float = Field(
        default=0.95, gt=0, le=1, description="Match probability at which two people are joined."
    )
    least_merge_threshold: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="How low that may be where records say little and what is joined is right all "
        "the same; 0.65, or `auto_merge_threshold` where that is set.",
    )
    review_threshold: float = Field(
        default=0.60, gt=0, le=1, description="Match probability at which a pair goes to review."
    )
    matching_interval_seconds: int = Field(
        default=60, ge=1, description="How often new attributes are matched, in seconds."
    )
    matching_memory_mb: int = Field(
        default=2_000,
        ge=256,
        description="What a whole matching run holds in memory, in megabytes, beside some 700 of"
        " its own; the rest goes to temporary files in the data directory.",
    )
    whole_matching_seconds: int = Field(
        default=86_400,
        ge=60,
        description="How old what matching has learnt may be, in seconds, before everybody is "
        "compared anew when something is.",
    )
    token_lifetime_seconds: int = Field(
        default=600, ge=60, le=3600, description="Lifetime of an access token, in seconds."
    )
    max_body_bytes: int = Field(
        default=4_500_000, ge=1_000, description="Largest request body, unpacked, in bytes."
    )
    max_event_bytes: int = Field(
        default=32_768, ge=1_000, description="Largest single event, in bytes of JSON."
    )
    max_batch_events: int = Field(
        default=2_500, ge=1, description="Most events in one request; those after it are rejected."
    )
    tally_days: int = Field(
        default=90, ge=2, description="How long the counters of the sources are kept, in days."
    )
    rejected_days: int = Field(
        default=30, ge=1, le=3650, description="How long rejected events are kept, in days."
    )
    hold_key: SecretStr | None = Field(
        default=None,
        description="Keys that seal held events: 32 bytes in base64, the newest first, separated "
        "by commas. When empty, a key is made in the data directory.",
    )
    suppression_key: SecretStr | None = Field(
        default=None,
        description="Keys that hash whom nothing is stored about any more: as `hold_key`. When "
        "empty, a key is made in the data directory. Without it, once somebody was erased, nothing "
        "is accepted.",
    )
    erasure_journal: Path | None = Field(
        default=None,
        description="The file that lists every erasure, to be repeated in a restored database; "
        "back it up apart from the database, with the folder `refusals` beside it. When empty: "
        "`erasure.journal` in the data directory.",
    )
    ledger_key: SecretStr | None = Field(
        default=None,
        description="Keys that wrap those of the ledger's keystore: as `hold_key`. When empty, a "
        "key is made in the data directory.",
    )
    destination_key: SecretStr | None = Field(
        default=None,
        description="Keys that seal the secrets of destinations: as `hold_key`. When empty, a key "
        "is made in the data directory.",
    )
    private_destinations: bool = Field(
        default=False,
        description="Let destinations be at private addresses; otherwise only the public internet "
        "is reached, whatever a name resolves to.",
    )
    keystore_url: str | None = Field(
        default=None,
        description="PostgreSQL that holds the ledger's keys, and nothing else. When empty: "
        "`keystore.db` in the data directory.",
    )
    ledger_anchor: Path | None = Field(
        default=None,
        description="Directory to which the ledger's checkpoints are written, best on another "
        "machine. When empty: `anchor` in the data directory.",
    )
    ledger_seconds: int = Field(
        default=60, ge=1, description="How often what was recorded is sealed, in seconds."
    )
    privacy_time_zone: str = Field(
        default="UTC",
        description="Where the days of data subjects' requests begin and end: an IANA time zone.",
    )
    holidays: str = Field(
        default="",
        description="Public holidays, as dates separated by commas: no time to answer ends on one.",
    )
    package_days: int = Field(
        default=14, ge=1, le=90, description="How long an access package can be fetched, in days."
    )
    backup_days: int = Field(
        default=35,
        ge=0,
        description="How old your oldest backup may become, in days: who is erased is told so.",
    )
    proof_days: int = Field(
        default=1_095,
        ge=0,
        le=36_500,
        description="How long after an erasure the vault keeps the grants that were relied on, in "
        "days; 0 keeps none. A purpose may declare its own `proof_retention_days`.",
    )
    log_level: Level = Field(
        default="warning",
        description="From which level on the product logs; at none does it name anybody.",
    )
    page_refusal_days: int = Field(
        default=30,
        ge=0,
        le=365,
        description="How long what the key of a page refused or withdrew destroys nothing, in "
        "days: its use ends at once, but anybody can say it.",
    )
    request_days: int = Field(
        default=1_095,
        ge=1,
        le=36_500,
        description="How long it is kept, in days, why a closed request was refused or extended, "
        "and how it was known who asked.",
    )
    delivery_days: int = Field(
        default=90,
        ge=1,
        description="How long messages to destinations are kept that later ones have overtaken, in"
        " days.",
    )
    disclosure_days: int = Field(
        default=1_095,
        ge=1,
        le=36_500,
        description="How long the evidence of each send is kept, in days.",
    )
    denial_days: int = Field(
        default=30, ge=1, le=3650, description="How long single denials are kept, in days."
    )
    read_days: int = Field(
        default=365,
        ge=1,
        le=3650,
        description="How long it is kept who read whom, for what, in days.",
    )
    analyses_at_once: int = Field(
        default=2, ge=1, le=64, description="Analyses that a server process computes at once."
    )
    analyses_waiting: int = Field(
        default=8, ge=0, le=1000, description="Analyses that wait for a turn; more are told 503."
    )
    analyses_wait_seconds: float = Field(
        default=30.0, gt=0, le=600, description="How long an analysis waits for a turn, then 503."
    )
    analyses_memory_bytes: int = Field(
        default=1_200_000_000,
        ge=100_000_000,
        description="Memory of the analyses at once, together; beyond its share each goes on on "
        "the disk, below the lake. Events in order take up to 805,306,368 bytes beside it.",
    )
    erasure_grace_seconds: int = Field(
        default=60,
        ge=0,
        description="How long analyses that are running may go on with files of the lake that an "
        "erasure has replaced.",
    )
    max_held_events: int = Field(
        default=100_000, ge=1, description="Most held events of one source."
    )
    max_held_bytes: int = Field(
        default=256_000_000, ge=1_000, description="Most bytes of held events of one source."
    )
    least_free_bytes: int = Field(
        default=256_000_000,
        ge=0,
        description="With less room on the disk of the data directory no event is accepted.",
    )
    deduplication_days: int = Field(
        default=30, ge=1, description="How long a message id is remembered, in days at least."
    )
    webhook_timeout_seconds: float = Field(
        default=15.0, gt=0, le=60, description="How long a webhook receiver may take to answer."
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_set(cls, said: dict[str, object]) -> dict[str, object]:
        """Leave out what is empty, as compose files write what nobody gave.

        But for the proxies: none to believe is another thing than those of this machine.
        """
        return {k: v for k, v in said.items() if v != "" or k == "trusted_proxies"}

    @field_validator("database_url", "keystore_url")
    @classmethod
    def _is_postgresql(cls, url: str | None) -> str | None:
        try:
            if url is not None and not make_url(url).drivername.startswith("postgres"):
                raise ValueError
        except (ArgumentError, ValueError) as error:
            example = "postgresql://user:password@host/database"
            raise ValueError(f"it is no address of a PostgreSQL, such as {example}") from error
        return url

    @field_validator("holidays")
    @classmethod
    def _are_dates(cls, text: str) -> str:
        for day in filter(None, map(str.strip, text.split(","))):
            try:
                date.fromisoformat(day)
            except ValueError as error:
                raise ValueError("dates, as 2026-12-25, separated by commas") from error
        return text

    @field_validator("privacy_time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, ZoneInfoNotFoundError) as error:
            raise ValueError("no time zone of this name is known") from error
        return name

    @property
    def lowest_merge_threshold(self) -> float:
        """How low the merge threshold may be: who sets one means it."""
        if self.least_merge_threshold is not None:
            return self.least_merge_threshold
        chosen = "auto_merge_threshold" in self.model_fields_set
        return self.auto_merge_threshold if chosen else 0.65

    @property
    def home(self) -> Path:
        """The data directory as an absolute path."""
        return self.data_dir.expanduser().resolve()

    @property
    def journal(self) -> Path:
        """The file that lists every erasure."""
        return (self.erasure_journal or self.home / "erasure.journal").expanduser().resolve()

    @property
    def refusals(self) -> Path:
        """The folder of the journal of refusals, beside that of erasures."""
        return self.journal.with_name("refusals")

    @property
    def anchor_dir(self) -> Path:
        """Where the checkpoints of the ledger are written."""
        return (self.ledger_anchor or self.home / "anchor").expanduser().resolve()

    @property
    def lake_dir(self) -> Path:
        """Where the columnar copy of the events lives."""
        return self.home / "lake"
