"""`parcours ledger sends` and `prove-send`: what was sent about somebody, and the proof of it."""

import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from api.cli.session import AsJson, DataDir, opened, settings, show
from app.destinations import evidence
from app.ledger.keystore import Keystore
from identity import identifiers

Person = Annotated[str, typer.Argument(help="An identifier of the person: namespace:value.")]
Until = Annotated[
    str | None,
    typer.Option("--until", help="Only what was sent until then (ISO 8601); else until now."),
]


def sends(
    person: Person,
    destination: Annotated[
        str | None, typer.Option("--destination", help="Id or name; else all of them.")
    ] = None,
    until: Until = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what was decided to be sent about a person, the newest first."""
    namespace, value = identifiers.parse(person)
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = evidence.sends(
            session, namespace, value, until=_time(until), destination=destination
        )
        rows = [{**evidence.said(row), "sealed": row.manifest_id is not None} for row in found]
    names = ("message", "attempt", "kind", "segment", "destination", "purpose", "reason",
             "records", "decided_at", "sealed")  # fmt: skip
    show([{name: row.get(name) for name in names} for row in rows], as_json, *names)


def prove_send(
    person: Person,
    destination: Annotated[str, typer.Option("--destination", help="Id or name.")],
    until: Until = None,
    purpose: Annotated[
        str | None,
        typer.Option("--purpose", help="Of several that it was sent for; else the destination's."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Print the proof of the last send about a person to a destination, until a time.

    With the consent records that it rests on, the notices as they were shown, and all proofs from
    the ledger. It is personal data. `parcours ledger check FILE --vkey KEY` checks it anywhere.
    """
    namespace, value = identifiers.parse(person)
    configuration = settings(data_dir)
    keystore = Keystore(configuration)
    with opened(configuration) as sessions, closing(keystore), sessions() as session:
        row = evidence.last(
            session, namespace, value, until=_time(until), destination=destination, purpose=purpose
        )
        proof = evidence.prove(session, keystore, row)
    sys.stdout.write(proof + "\n")


def _time(text: str | None) -> datetime:
    """Return a time; one without a zone is in UTC."""
    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time, such as 2026-11-28T12:00Z") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
