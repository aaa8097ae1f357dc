"""The catalogue of what holds personal data: every table, and what an erasure does there.

A test compares it with the database: a table that is not in it, or a column of one that could name
somebody, fails it. Whoever adds a table says here what becomes of a person in it.
"""

from collections.abc import Mapping

from consent import erasure as consents
from identity import erasure as identities

#: What each table of the schema `app` holds of a person, and what becomes of it.
HERE: dict[str, str] = {
    "app.event": "rows in which an identifier acts; taken out of those of others",
    "app.trait": "rows of the identifiers; values of others are redacted",
    "app.trait_value": "rows of the identifiers; values of others are counted anew",
    "app.account": "accounts of which nobody else says anything",
    "app.account_member": "rows of the identifiers",
    "app.account_trait": "rows of the identifiers; values of others are redacted",
    "app.computed_value": "rows of the people; values of others are computed anew",
    "app.rejected_event": "rows that name an identifier",
    "app.held": "sealed rows, found by a keyed hash",
    "app.touched": "rows of the identifiers",
    "app.change": "rows of the people; one stays that says that they are gone, by a random id",
    "app.delivery": "rows of the people; one stays that says that they are gone, by a random id",
    "app.destination_sync": "whose id was looked at last, until it ends",
    "app.held_record": "ids at receivers, sealed; gone once each has deleted, or with the person",
    "app.disclosure": "rows of the identifiers; a hash of each stays, of nobody",
    "app.manifest": "hashes of disclosures",
    "app.denied_use": "the ids of the identifiers, out of those of others",
    "app.person_read": "the ids of the identifiers, out of those of others",
    "app.segment_member": "rows of the people",
    "app.people_list_member": "rows of the identifiers",
    "app.journey_due": "rows of the people",
    "app.journey_deviation": "rows of the people",
    "app.plan_violation": "the message id of an example",
    "app.plan_violation_arrival": "the message id of an example",
    "app.privacy_request": "whom it names, when it ends; keyed hashes stay",
    "app.privacy_event": "what happened to a request, of nobody",
    "app.privacy_task": "counts, of nobody",
    "app.privacy_check": "keyed hashes",
    "app.privacy_package": "the file, when its time is over or the person is erased",
    "app.former_identifier": "addresses that were put right, sealed; rows of the identifiers",
    "app.erasure_left": "whom a repeated erasure is of, until it is done, before anybody is served",
    "app.processor_request": "places in what a request holds, and where results are until it ends",
    "app.vault_entry": "sealed grants by keyed hash, which the erasure adds; gone in time",
    "app.vault_opening": "why and who, of officers",
    "app.vault_event": "what officers did",
    "app.breach": "numbers, of nobody",
    "app.breach_event": "numbers, of nobody",
    "app.lake_part": "files, which are written anew",
    "app.lake_removal": "ids of events, until the files are written anew",
    **dict.fromkeys(
        (
            "app.analysis", "app.analysis_alert", "app.client", "app.client_assertion",
            "app.client_credential",
            "app.computed_trait", "app.destination",
            "app.event_partition", "app.heartbeat", "app.held_room", "app.journey",
            "app.journey_flow", "app.journey_next", "app.journey_standing",
            "app.people_list", "app.processor", "app.progress", "app.rejected_count",
            "app.rejected_room", "app.retention_rule", "app.revoked_token", "app.segment",
            "app.saved_analysis", "app.segment_version", "app.signing_key", "app.source",
            "app.tally",
            "app.tracking_plan",
            "app.tracking_plan_source", "app.tracking_plan_version", "app.trait_rule",
            "app.write_key",
        ),
        "of nobody",
    ),
}  # fmt: skip

HOLDINGS: Mapping[str, str] = {**HERE, **identities.HOLDS, **consents.HOLDS}
