"""The OpenAPI document: what a parameter means that is called alike wherever it stands."""

from typing import Any

from fastapi import FastAPI

TAGS = {
    "tracking": "Send events, with a write key. Segment's tracking API.",
    "sources": "Websites and apps that send events: limits, keys, counters, retention.",
    "tracking plans": "What each source should send, and where it differed.",
    "rejected events": "What was not accepted and why; correct it and replay it.",
    "profiles": "People, for a stated purpose; computed traits and rules of survivorship.",
    "accounts": "Accounts and households, of group calls.",
    "segments": "Who meets a rule, for a purpose; members, history, previews.",
    "changes": "One ordered feed of what happened to profiles.",
    "destinations": "Receivers of segments, and what became of each message.",
    "segment profile api": "Segment's Profile API; the space is the purpose.",
    "journeys": "Maps of journeys, and analyses of them.",
    "identity": "Links, merges, reviews and matching runs.",
    "consent": "Purposes, notices, records and the decision.",
    "privacy": "Requests of data subjects, erasure, breaches, who read whom.",
    "ledger": "What was recorded of consent, signed, with proofs.",
    "OAuth 2.0": "Access tokens.",
    "clients": "Who may read and administer.",
    "operations": "Health, and the types of errors.",
}
PARAMETERS = {
    "key": "The key of it, as its list shows.",
    "purpose": "What the data are read for; the client must be registered for it. The header "
    "`Purpose` says the same.",
    "Purpose": "What the data are read for, where the query does not say `purpose`.",
    "subject": "An identifier of the person: namespace:value.",
    "since": "From this moment on (RFC 3339).",
    "until": "Before this moment (RFC 3339).",
    "at": "As of this moment; now when left out.",
    "known_at": "By what was known at this moment; now when left out.",
    "limit": "Most items of one answer.",
    "write_key": "A write key of the source.",
    "source": "The name of a source.",
    "state": "Only what is in this state.",
    "type": "Only of this type.",
    "code": "Only with this code.",
    "event": "Only of this event.",
    "action": "Only what was done so.",
    "operation": "Only by this operation, as the OpenAPI document has it.",
    "reason": "Only for this reason.",
    "version": "Of this version.",
    "number": "The number of a version.",
    "from": "The version that is compared.",
    "to": "With which, or for whom.",
    "format": "The form of the answer.",
    "class": "Only traits of this class.",
    "sort": "Newest or oldest first.",
    "segment": "The key of a segment; two to six of them.",
    "archived": "List those that are archived instead.",
    "types": "Only changes of these types, with commas between.",
    "rule": "What shows such links.",
    "index": "The place of an entry in the ledger, from 0.",
    "call": "The call, such as track, with or without .gif.",
    "name": "The last part of a problem's `type`.",
    "X-OpenDSR-Processor-Domain": "The domain of the processor, as its certificate names it.",
}
#: Of any other, which are ids.
OF_AN_ID = "The `{}` that it was answered with."


class Described(FastAPI):
    """A server whose document says of every tag and parameter what it means."""

    def openapi(self) -> dict[str, Any]:
        """Return the document; where a parameter says nothing of itself, what its name means."""
        document = super().openapi()
        document["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
        for methods in document["paths"].values():
            for operation in methods.values():
                for parameter in operation.get("parameters", []):
                    name = parameter["name"]
                    said = PARAMETERS.get(name) or OF_AN_ID.format(name)
                    parameter.setdefault("description", said)
        return document
