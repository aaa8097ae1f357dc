"""The computed traits that are defined: what each says, for which purpose, and how far it is."""

import re
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.errors import ComputedTraitNotFound, DefinitionInvalid
from app.profiles.computed import parse
from app.profiles.tables import ComputedTrait, ComputedValue

KEY = re.compile("[a-z0-9][a-z0-9_-]{0,62}")
#: Each may be computed in every step of the pipeline that takes such an event.
MOST_TRAITS = 200
#: Made once: every step of the pipeline and every merge asks.
ALL = sa.select(ComputedTrait).order_by(ComputedTrait.key)


def put(
    session: Session, *, key: str, name: str, purpose: str, definition: dict[str, Any]
) -> ComputedTrait:
    """Define a computed trait, or change it; another definition has everybody computed anew.

    Raises DefinitionInvalid, also when it would serve another purpose than it did, and
    PurposeNotFound.
    """
    if not KEY.fullmatch(key):
        raise DefinitionInvalid(f"key: {KEY.pattern}")
    wanted = parse(definition).model_dump(mode="json", exclude_none=True)
    consent.catalogue.purpose(session, purpose)
    found = _find(session, key)
    if found is None:
        session.execute(sa.text("LOCK TABLE app.computed_trait IN SHARE ROW EXCLUSIVE MODE"))
        found = _find(session, key)
    if found is None:
        if len(list_all(session)) >= MOST_TRAITS:
            raise DefinitionInvalid(f"there are {MOST_TRAITS} computed traits, and no more may be")
        found = ComputedTrait(
            key=key, name=name, purpose=purpose, definition=wanted, position=0, milliseconds=0.0
        )
        session.add(found)
    elif found.purpose != purpose:
        raise DefinitionInvalid(
            f"#/purpose: {key} serves {found.purpose}; what was computed for one purpose is not"
            " taken for another: define a trait of another key"
        )
    elif found.definition != wanted:
        try_again(session, found)
        found.definition, found.bounds, found.bounds_at = wanted, None, None
    found.name, found.updated_at = name, session.scalar(sa.select(sa.func.now())) or sa.func.now()
    session.flush()
    return found


def try_again(session: Session, trait: ComputedTrait) -> None:
    """Have a trait computed for everybody that is another by now, or could not be computed.

    What is known of who is there is read by nobody until then and stays, to be compared with: who
    has nothing any more is told of, too. Of who is none any more it goes.
    """
    purpose = consent.catalogue.purpose(session, trait.purpose)
    gone = (
        "DELETE FROM app.computed_value v WHERE v.trait_id = :trait AND NOT EXISTS (SELECT FROM"
        " identity.current_person i WHERE i.identifier_id = v.subject_id"
        " AND i.identifier_id = CASE WHEN :groups THEN i.group_id ELSE i.person_id END)"
    )
    by_group = purpose.link_confidence == "deterministic"
    session.execute(sa.text(gone), {"trait": trait.id, "groups": by_group})
    trait.position, trait.until, trait.milliseconds = 0, None, 0.0
    trait.computed_at = trait.error = trait.failed_at = None


def look_again(session: Session) -> None:
    """Have every trait computed for everybody again, because events were deleted.

    What is known stands meanwhile.
    """
    again = sa.update(ComputedTrait).values(position=0, until=None, milliseconds=0)
    session.execute(again, execution_options={"synchronize_session": False})


def _find(session: Session, key: str) -> ComputedTrait | None:
    """Return it locked, as whoever computes locks it before anything that is computed."""
    query = sa.select(ComputedTrait).where(ComputedTrait.key == key).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def find(session: Session, key: str) -> ComputedTrait:
    """Return a computed trait; raises ComputedTraitNotFound, which names the nearest."""
    found = session.scalar(sa.select(ComputedTrait).where(ComputedTrait.key == key))
    if found is None:
        raise ComputedTraitNotFound(missing(session, key))
    return found


def missing(session: Session, key: str) -> str:
    """Say that there is no such computed trait, and which may have been meant."""
    keys = [trait.key for trait in list_all(session)]
    near = get_close_matches(key, keys, n=3)
    return f"no computed trait {key}" + (f"; did you mean {', '.join(near)}?" if near else "")


def list_all(session: Session) -> list[ComputedTrait]:
    """Return all computed traits, by key."""
    return list(session.scalars(ALL))


def remove(session: Session, key: str) -> None:
    """Remove a computed trait and what was computed; raises ComputedTraitNotFound."""
    session.delete(_find(session, key) or find(session, key))


def usable(trait: ComputedTrait) -> bool:
    """Say whether everybody has been computed by this definition, and nothing failed since."""
    return trait.computed_at is not None and trait.error is None


def state(trait: ComputedTrait) -> str:
    """Return `fresh`, `computing` (never complete yet), `refreshing` or `error`."""
    if trait.error is not None:
        return "error"
    if trait.computed_at is None:
        return "computing"
    return "fresh" if trait.until is not None and trait.position >= trait.until else "refreshing"


def share(trait: ComputedTrait) -> float:
    """Return which part of the people has been computed since it was begun."""
    if trait.until is None:
        return 0.0
    return 1.0 if trait.position >= trait.until else trait.position / trait.until


def size(session: Session, trait: ComputedTrait) -> int:
    """Return how many people have a value."""
    query = sa.select(sa.func.count()).where(ComputedValue.trait_id == trait.id)
    return session.scalar(query) or 0
