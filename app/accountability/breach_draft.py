"""Drafts the notification of a breach, for the authority and for the people (GDPR art. 33, 34)."""

from collections.abc import Mapping
from typing import Any

#: Where an officer has to write.
TO_DO = "**[to be written]**"


def authority(breach: Mapping[str, Any], controller: Mapping[str, Any]) -> str:
    """Return what art. 33(3) asks for, as Markdown."""
    known, told = breach["assessment"], breach["told"]
    young = sum(known["known_to_be_young"].values())
    return "\n".join(
        [
            "# Notification of a personal data breach (GDPR art. 33)",
            "",
            f"- Controller: {controller.get('name') or TO_DO}",
            f"- Contact, data protection officer: {_contact(controller)}",
            f"- Aware of it since: {breach['noticed_at']}",
            f"- To be notified by: {breach['authority_due_at']}",
            f"- It took place between {breach['scope']['since']} and {breach['scope']['until']}",
            "",
            "## Nature of the breach (a)",
            "",
            told["nature"],
            "",
            f"- People concerned: about {known['people']}"
            + (f", of whom at least {young} are under 18" if young else ""),
            f"- Records concerned: about {known['events']} events, {known['deliveries']} messages",
            f"- Categories of data, as declared: {_list(known['data_classes'])}",
            f"- Special categories: {_list(known['special_categories'])}",
            f"- What identifies people: {_counts(known['identifiers'])}",
            f"- What was known of them: {_counts(known['traits'])}",
            f"- For the purposes: {_list(known['purposes'])}",
            f"- Recipients: {_list([_recipient(d) for d in known['destinations']])}",
            "",
            "## Likely consequences (c)",
            "",
            told["consequences"] or TO_DO,
            "",
            "## Measures taken or proposed (d)",
            "",
            told["measures"] or TO_DO,
            "",
            f"Counted at {known['assessed_at']}. What is not known yet follows in phases (4).",
            "",
        ]
    )


def people(breach: Mapping[str, Any], controller: Mapping[str, Any]) -> str:
    """Return what art. 34(2) asks for, in plain language, as Markdown."""
    known, told = breach["assessment"], breach["told"]
    what = [*known["identifiers"], *known["traits"]]
    return "\n".join(
        [
            "# What happened to your data",
            "",
            told["nature"],
            "",
            f"It may concern: {_list(what)}.",
            "",
            "What this may mean for you:",
            "",
            told["consequences"] or TO_DO,
            "",
            "What we have done, and what you can do:",
            "",
            told["measures"] or TO_DO,
            "",
            f"Ask us: {_contact(controller)}.",
            "",
        ]
    )


def _contact(controller: Mapping[str, Any]) -> str:
    officer = controller.get("dpo") or {}
    named = [officer.get("name"), officer.get("email"), officer.get("telephone")]
    own = [controller.get("contact"), controller.get("email"), controller.get("phone")]
    return ", ".join(str(one) for one in (named if officer else own) if one) or TO_DO


def _recipient(one: Mapping[str, Any]) -> str:
    return f"{one['recipient']} ({one['region'] or 'region unknown'})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} (of {n})" for name, n in counts.items()) or "none"


def _list(values: list[str]) -> str:
    return ", ".join(values) or "none"
