"""`parcours identity preview`: what another rule, threshold or model would do, before it does."""

from typing import Annotated, Any

import typer

from api.cli.identity_rules import (
    Blocked,
    LastOwner,
    Limit,
    MostLinks,
    OwnerDays,
    Patterns,
    Priority,
    Unique,
    changed,
)
from api.cli.session import AsJson, DataDir, opened, settings, show
from app.identities import merging, previewing
from identity import namespaces
from identity.preview import Proposal

Share = Annotated[float | None, typer.Option(min=0.001, max=0.999999)]


def preview(
    namespace: Annotated[
        str | None, typer.Option(help="Whose rules would change; then what they would be:")
    ] = None,
    priority: Priority = None,
    limit: Limit = None,
    unique: Unique = None,
    most_links: MostLinks = None,
    owner_days: OwnerDays = None,
    last_owner: LastOwner = None,
    blocked: Blocked = None,
    blocked_pattern: Patterns = None,
    merge_threshold: Share = None,
    review_threshold: Share = None,
    model_run: Annotated[
        int | None, typer.Option(min=1, help="A whole run, whose model would score.")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help="For which examples are shown, where it is allowed.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say who would be merged and split, which consents conflict, which segments change size.

    Nothing is written; a running server goes on meanwhile.
    """
    rules = (
        priority, limit, unique, most_links, owner_days, last_owner, blocked, blocked_pattern
    )  # fmt: skip
    if namespace is None and any(rule is not None for rule in rules):
        raise typer.BadParameter("rules are of a --namespace")
    if {namespace, merge_threshold, review_threshold, model_run} == {None}:
        raise typer.BadParameter("state what would be otherwise")
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        setting = None
        if namespace is not None:
            with sessions() as session:
                old = namespaces.get(session, namespace)
            setting = changed(old, *rules)
        with sessions() as session:
            merge = merging.threshold(session, configuration, model_run)
        found = previewing.run(
            sessions,
            Proposal(setting, merge_threshold, model_run),
            merge=merge,
            review=configuration.review_threshold,
            new_review=review_threshold,
            purpose=purpose,
        )
    if as_json:
        show(found, as_json)
        return
    rows: list[dict[str, Any]] = [
        {"what": what.replace("_", " "), "value": told}
        for what, told in found.items()
        if not isinstance(told, dict) and what not in ("segments", "examples")
    ]
    rows += [{"what": f"reviews {when}", "value": n} for when, n in found["reviews"].items()]
    rows += [
        {"what": f"consents that conflict, {key}", "value": n}
        for key, n in found["consent_conflicts"].items()
    ]
    rows += [
        {"what": f"segment {one['segment']}", "value": f"{one['before']} -> {one['after']}"}
        for one in found["segments"]
    ]
    show(rows, as_json, "what", "value")
