"""Describes a kind of destination to who wants to register one."""

from typing import Any

from app.destinations.kind import Kind


def kind(one: Kind) -> dict[str, Any]:
    """Return settings and secrets as JSON Schema, the fields, and the mapping to begin with."""
    try:
        targets = one.targets(one.settings())
    except ValueError:  # some settings have no default: the fields do not depend on those
        targets = one.targets(None)
    return {
        "kind": one.name,
        "about": one.about,
        "settings": one.settings.model_json_schema(),
        "secrets": one.secrets.model_json_schema(),
        "holds_records": one.holds_records,
        "fields": {
            name: {
                "type": target.type,
                "required": target.required,
                "longest": target.longest,
                "about": target.about,
            }
            for name, target in targets.items()
        },
        "other_fields": one.open_targets and one.holds_records,
        "mapping": dict(one.template),
        "batch": one.batch,
        "rate": one.rate,
    }
