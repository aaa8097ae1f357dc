"""Rules of identity: what each namespace may link, and what was taken back as a whole."""

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app import sweeps
from identity import namespaces, reviews, suspensions
from identity import sweeps as sweep
from identity.errors import NamespaceRulesInvalid, RunNotFound, SuspensionNotFound
from identity.identifiers import Namespace

router = Resource(prefix="/v1/identity", tags=["identity"])

Reader = Annotated[Caller, requires("identity:read")]
Admin = Annotated[Caller, requires("identity:admin")]
AUTH = (InvalidToken, InsufficientScope)
Name = Annotated[str, Path(pattern="^[a-z][a-z0-9_]{0,62}$", examples=["crm_id"])]
#: What shows that identifiers are one person's: a type of event, a match, or what the product does.
Rule = Annotated[
    Literal[
        "identify", "alias", "track", "page", "screen", "group", "splink", "spelling",
        "rectification", "rectification_shown",
    ],
    Path(examples=["alias"]),
]  # fmt: skip
RunId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class NamespaceIn(BaseModel):
    """The rules of a namespace; what is left out is as the default has it for a custom one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "priority": 3,
                "limit": 2,
                "most_links": 50,
                "owner_days": 180,
                "blocked": ["guest-checkout"],
                "blocked_patterns": ["^tmp-[0-9]+$"],
            }
        },
    )

    priority: int = Field(default=3, ge=1, le=1000, description="1 is the strongest evidence.")
    limit: int | None = Field(default=None, ge=1, le=200, description="Most values of a person.")
    unique: bool = Field(default=False, description="A person has one; needs `limit` 1.")
    most_links: int = Field(
        default=200, ge=1, le=1000, description="Seen with more others it identifies a crowd."
    )
    owner_days: int | None = Field(
        default=None,
        ge=7,
        le=36_500,
        description="Of the logins it was seen with those count that were seen in this many days "
        "before the last; by the week.",
    )
    last_owner: bool = Field(
        default=False, description="Shared by several logins it is the last one's, not nobody's."
    )
    blocked: list[Annotated[str, Field(max_length=1024)]] = Field(
        default=[], max_length=10_000, description="Values that identify nobody, in any case."
    )
    blocked_patterns: list[str] = Field(
        default=[], max_length=50, description="Regular expressions of PostgreSQL for such values."
    )


def setting_of(key: str, wanted: NamespaceIn) -> namespaces.Setting:
    """Return the rules that a body states."""
    rules = Namespace(
        key, wanted.priority, wanted.limit, wanted.unique,
        wanted.most_links, wanted.owner_days, wanted.last_owner,
    )  # fmt: skip
    return namespaces.Setting(rules, tuple(wanted.blocked), tuple(wanted.blocked_patterns))


def _described(setting: namespaces.Setting) -> dict[str, Any]:
    rules = setting.rules
    return {
        "namespace": rules.name,
        "priority": rules.priority,
        "limit": rules.limit,
        "unique": rules.unique,
        "most_links": rules.most_links,
        "owner_days": rules.owner_days,
        "last_owner": rules.last_owner,
        "blocked": list(setting.blocked),
        "blocked_patterns": list(setting.blocked_patterns),
        "set_by": setting.changed_by,
    }


@router.get("/namespaces", summary="List the rules of namespaces", responses=documented(*AUTH))
def list_namespaces(session: Db, caller: Reader) -> dict[str, Any]:
    """Return the rules in force, how many identifiers wait, and which changes are under way."""
    rows = [_described(setting) for setting in namespaces.list_all(session)]
    return {"data": rows, **sweeps.state(session)}


@router.put(
    "/namespaces/{key}",
    summary="Set the rules of a namespace",
    responses=documented(*AUTH, NamespaceRulesInvalid),
)
def put_namespace(session: Db, caller: Admin, key: Name, wanted: NamespaceIn) -> dict[str, Any]:
    """Replace the rules of a namespace; a worker computes anew whom they touch.

    It looks for these in portions: `under_way` says how far it is. Sent again it begins anew.
    """
    namespaces.put(session, setting_of(key, wanted), by=caller.client_id)
    return _changed(session, key)


@router.delete(
    "/namespaces/{key}",
    summary="Return to the default rules of a namespace",
    responses=documented(*AUTH),
)
def reset_namespace(session: Db, caller: Admin, key: Name) -> dict[str, Any]:
    """Forget what was set; a worker computes anew whom it touched. Safe to repeat."""
    namespaces.reset(session, key)
    return _changed(session, key)


def _changed(session: Session, name: str) -> dict[str, Any]:
    sweep.request(session, f"namespace:{name}")
    return {**_described(namespaces.get(session, name)), **sweeps.state(session)}


@router.get("/undone", summary="List runs and rules taken back", responses=documented(*AUTH))
def list_undone(session: Db, caller: Reader) -> dict[str, Any]:
    """Return the matching runs and the rules whose links do not count now."""
    rows = [
        {"run_id": s.run_id, "rule": s.rule, "by": s.decided_by, "at": s.decided_at.isoformat()}
        for s in suspensions.list_all(session)
    ]
    return {"data": rows, **sweeps.state(session)}


@router.post(
    "/runs/{run_id}/undo",
    status_code=202,
    summary="Undo a matching run",
    responses=documented(*AUTH, RunNotFound),
)
def undo_run(session: Db, caller: Admin, run_id: RunId) -> dict[str, Any]:
    """Take back every link that this run scored last; nothing is deleted."""
    reviews.find_run(session, run_id)
    suspensions.suspend(session, run_id=run_id, by=caller.client_id)
    return _again(session, run_id=run_id)


@router.post(
    "/runs/{run_id}/redo",
    status_code=202,
    summary="Let a matching run count again",
    responses=documented(*AUTH, SuspensionNotFound),
)
def redo_run(session: Db, caller: Admin, run_id: RunId) -> dict[str, Any]:
    """Follow the links of a run again that was undone."""
    suspensions.resume(session, run_id=run_id)
    return _again(session, run_id=run_id)


@router.post(
    "/rules/{rule}/undo", status_code=202, summary="Undo a rule", responses=documented(*AUTH)
)
def undo_rule(session: Db, caller: Admin, rule: Rule) -> dict[str, Any]:
    """Take back every link of a rule, such as `alias`, now and for what comes."""
    suspensions.suspend(session, rule=rule, by=caller.client_id)
    return _again(session, rule=rule)


@router.post(
    "/rules/{rule}/redo",
    status_code=202,
    summary="Let a rule count again",
    responses=documented(*AUTH, SuspensionNotFound),
)
def redo_rule(session: Db, caller: Admin, rule: Rule) -> dict[str, Any]:
    """Follow the links of a rule again that was undone."""
    suspensions.resume(session, rule=rule)
    return _again(session, rule=rule)


def _again(
    session: Session, *, run_id: int | None = None, rule: str | None = None
) -> dict[str, Any]:
    sweep.request(session, f"rule:{rule}" if rule else f"run:{run_id}")
    return sweeps.state(session)
