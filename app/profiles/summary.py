"""Writes what is known of a person the way the API, the feed and the files show it."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from app.profiles.accounts import AccountView, Stay
from app.profiles.computed_values import Computed
from app.profiles.traits import Golden, TraitValue

#: Of the values that a trait differs from so many are shown, the latest.
MOST_OTHERS = 50


def plain(traits: Mapping[str, Golden]) -> dict[str, Any]:
    """Return traits without their provenance."""
    return {key: trait.value for key, trait in traits.items()}


def with_provenance(traits: Mapping[str, Golden]) -> list[dict[str, Any]]:
    """Return traits with what set each, the rule that chose it, and the values it differs from."""
    return [
        {
            "key": key,
            "value": trait.value,
            **_said(trait.chosen),
            "rule": trait.rule.rule,
            "conflict": bool(trait.others),
            "others": [{"value": o.value, **_said(o)} for o in trait.others[:MOST_OTHERS]],
            "more_others": max(0, len(trait.others) - MOST_OTHERS),
        }
        for key, trait in traits.items()
    ]


def _said(value: TraitValue) -> dict[str, Any]:
    return {
        "source": value.source,
        "occurred_at": value.occurred_at.isoformat(),
        "message_id": value.message_id,
        "identifier": value.identifier,
    }


def plain_computed(found: Iterable[Computed]) -> dict[str, Any]:
    """Return the values of computed traits that have one."""
    return {one.key: one.value for one in found if one.value is not None}


def computed(one: Computed) -> dict[str, Any]:
    """Return a computed trait of a person with what it was made of."""
    return {
        "key": one.key,
        "value": one.value,
        "events": one.events,
        "since": one.since.isoformat() if one.since else None,
        "state": one.state,
    }


def known(rows: Iterable[sa.Row[Any]]) -> list[dict[str, Any]]:
    """Return identifiers, each with when it was seen first."""
    return [
        {
            "namespace": row.namespace,
            "value": row.value,
            "first_seen_at": row.first_seen_at.isoformat(),
        }
        for row in rows
    ]


def open_stays(stays: Iterable[sa.Row[Any]]) -> list[dict[str, Any]]:
    """Return the segments that somebody is in, and since when."""
    return [
        {"segment": row.key, "since": row.entered_at.isoformat()}
        for row in stays
        if row.left_at is None
    ]


def past_stays(stays: Iterable[sa.Row[Any]]) -> list[dict[str, Any]]:
    """Return the stays that ended, until when and why."""
    return [
        {
            "segment": row.key,
            "since": row.entered_at.isoformat(),
            "until": row.left_at.isoformat(),
            "reason": row.why_left,
        }
        for row in stays
        if row.left_at is not None
    ]


#: What some calls carry beside properties and traits, by the name it has on the wire.
BESIDE = {"groupId": "group_id", "previousId": "previous_id", "category": "category"}


def event(row: sa.Row[Any]) -> dict[str, Any]:
    """Return one event of a timeline, with all that its sender said of it."""
    content = "traits" if row.type in ("identify", "group") else "properties"
    rest = row.rest or {}
    return {
        "message_id": row.message_id,
        "type": row.type,
        "name": row.name,
        "source": row.source,
        "user_id": row.user_id,
        "anonymous_id": row.anonymous_id,
        **{name: rest[key] for key, name in BESIDE.items() if key in rest},
        "occurred_at": row.occurred_at.isoformat(),
        "received_at": row.received_at.isoformat(),
        content: row.properties,
        "context": row.context,
    }


def account(view: AccountView) -> dict[str, Any]:
    """Return an account as a purpose may see it."""
    return {
        "account_id": str(view.account.account_id),
        "type": view.account.type,
        "id": view.account.key,
        "first_seen_at": view.account.first_seen_at.isoformat(),
        "purpose": view.purpose,
        "traits": plain(view.traits),
        "withheld": list(view.withheld),
    }


def stay(one: Stay) -> dict[str, Any]:
    """Return somebody's being in an account, with the call that says so."""
    return {
        "since": one.since.isoformat(),
        "until": one.until.isoformat() if one.until else None,
        "source": one.source,
        "message_id": one.message_id,
    }


def stay_in(one: Stay) -> dict[str, Any]:
    """Return the same with the account."""
    account = {"account_id": str(one.account_id), "type": one.type, "id": one.key}
    return {**account, **stay(one)}


def stay_of(one: Stay) -> dict[str, Any]:
    """Return the same with the person."""
    return {"profile_id": str(one.profile_id), **stay(one)}
