"""HubSpot's and Brevo's published APIs for contacts, as servers of a test."""

import json
from typing import Any
from urllib.parse import unquote

from tests.app.destinations.crm_server import Answer, Crm

VALIDATION = "VALIDATION_ERROR"


class HubSpotApi(Crm):
    """CRM objects v3 and communication preferences v4."""

    kind = "hubspot"
    secrets = {"access_token": "pat-1"}
    known = frozenset({"email", "firstname", "lastname", "pros"})

    def authorized(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == "Bearer pat-1"

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str],
               body: Any) -> Answer:  # fmt: skip
        assert method in ("POST", "GET")
        if not self.authorized(headers):
            return 401, {}, {"status": "error", "category": "INVALID_AUTHENTICATION"}
        if method == "GET":
            assert query == {"idProperty": "email"}
            number = self.by_email(unquote(path.removeprefix("/crm/v3/objects/contacts/")))
            if number is None:
                return 404, {}, {"status": "error", "category": "OBJECT_NOT_FOUND"}
            return 200, {}, {"id": number, "properties": {}, "archived": False}
        if path.startswith("/communication-preferences/v4/statuses/"):
            assert path.endswith("/unsubscribe-all")
            assert query == {"channel": "EMAIL"}
            self.opted_out.add(unquote(path.split("/")[4]))
            return 200, {}, {"status": "COMPLETE", "results": []}
        action = path.removeprefix("/crm/v3/objects/contacts/")
        if action == "gdpr-delete":
            return self._gdpr_delete(body)
        assert action in ("batch/upsert", "batch/update", "batch/archive"), path
        inputs = body["inputs"]
        if not 0 < len(inputs) <= self.most:
            return 400, {}, {"status": "error", "category": "VALIDATION_ERROR"}
        if action == "batch/archive":
            assert all(one.keys() == {"id"} for one in inputs)
            for one in inputs:
                self.contacts.pop(one["id"], None)
            return 204, {}, None
        return self._write(action == "batch/upsert", inputs)

    def _gdpr_delete(self, body: Any) -> Answer:
        assert body.keys() <= {"objectId", "idProperty"}
        number = body["objectId"]
        if "idProperty" in body:
            assert body["idProperty"] == "email"
            number = self.by_email(number)
        if number not in self.contacts:
            return 404, {}, {"status": "error", "category": "OBJECT_NOT_FOUND"}
        del self.contacts[number]
        return 204, {}, None

    def _write(self, upsert: bool, inputs: Any) -> Answer:
        keys = {"id", "properties", "objectWriteTraceId"} | ({"idProperty"} if upsert else set())
        if len({one["id"] for one in inputs}) < len(inputs):
            why = "Duplicate IDs found in batch input"
            return 400, {}, {"status": "error", "message": why, "category": VALIDATION}
        results, errors = [], []
        for one in inputs:
            assert one.keys() == keys
            assert all(isinstance(v, str) for v in one["properties"].values())
            if not one["properties"]:
                why = "No properties found to update, please provide at least one."
                return 400, {}, {"status": "error", "message": why, "category": VALIDATION}
            if unknown := sorted(one["properties"].keys() - self.known):
                return 400, {}, _not_valid(unknown)
            trace = {"objectWriteTraceId": [one["objectWriteTraceId"]]}
            number = one["id"]
            if upsert:
                assert one["idProperty"] == "email"
                number = self.by_email(one["id"])
            other = self.by_email(one["properties"].get("email", ""))
            if not upsert and number not in self.contacts:
                errors.append({"category": "OBJECT_NOT_FOUND", "context": trace})
            elif not upsert and other not in (None, number):
                why = f"Contact already exists. Existing ID: {other}"
                errors.append({"category": "CONFLICT", "message": why, "context": trace})
            elif "!" in str(one["properties"]):
                errors.append({"category": VALIDATION, "context": trace})
            else:
                new = number is None
                number = number or str(next(self.ids))
                self.contacts.setdefault(number, {}).update(one["properties"])
                trace_id = one["objectWriteTraceId"]
                results.append({"id": number, "new": new, "objectWriteTraceId": trace_id})
        said: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if not errors:
            return 200, {}, said
        return 207, {}, {**said, "numErrors": len(errors), "errors": errors}

    def holds(self) -> list[dict[str, Any]]:
        found = [{k: v for k, v in c.items() if v != ""} for c in self.contacts.values()]
        return [one for one in found if one.keys() != {"email"}]


def _not_valid(names: list[str]) -> dict[str, Any]:
    """The error of properties that are not there, as HubSpot writes it into a message."""
    listed = [
        {"isValid": False, "message": f'Property "{name}" does not exist',
         "error": "PROPERTY_DOESNT_EXIST", "name": name}
        for name in names
    ]  # fmt: skip
    said = f"Property values were not valid: {json.dumps(listed)}"
    return {"status": "error", "message": said, "category": VALIDATION}


class BrevoApi(Crm):
    """API v3, contacts."""

    kind = "brevo"
    secrets = {"api_key": "xkeysib-1"}
    known = frozenset({"EMAIL", "FIRSTNAME", "LASTNAME", "PROS"})

    def authorized(self, headers: dict[str, str]) -> bool:
        return headers.get("api-key") == "xkeysib-1"

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str],
               body: Any) -> Answer:  # fmt: skip
        if not self.authorized(headers):
            return 401, {}, {"code": "unauthorized", "message": "Key not found"}
        if method == "POST":
            assert path == "/contacts"
            return self._create(body)
        assert method in ("GET", "PUT", "DELETE")
        assert query == {"identifierType": "email_id"}
        number = self.by_email(unquote(path.removeprefix("/contacts/")))
        if number is None:
            return 404, {}, {"code": "document_not_found", "message": "Contact does not exist"}
        if method == "GET":
            email = self.contacts[number]["email"]
            return 200, {}, {"email": email, "emailBlacklisted": email in self.opted_out}
        if method == "DELETE":
            del self.contacts[number]
            return 204, {}, None
        assert body.keys() <= {"attributes", "listIds", "unlinkListIds", "emailBlacklisted"}
        return self._update(number, body)

    def _create(self, body: Any) -> Answer:
        assert body.keys() <= {"email", "attributes", "listIds", "updateEnabled"}
        assert body["updateEnabled"] is True
        if "!" in body["email"]:
            return 400, {}, {"code": "invalid_parameter", "message": "email is not valid"}
        number = self.by_email(body["email"])
        if number is not None:
            return self._update(number, body)
        number = str(next(self.ids))
        self.contacts[number] = {"email": body["email"], "lists": set()}
        done = self._update(number, body)
        return (201, {}, {"id": int(number)}) if done[0] == 204 else done

    def _update(self, number: str, body: Any) -> Answer:
        attributes = body.get("attributes", {})
        if attributes.keys() - self.known:
            return 400, {}, {"code": "invalid_parameter", "message": "attribute does not exist"}
        contact = self.contacts[number]
        if "EMAIL" in attributes:
            if self.by_email(attributes["EMAIL"]) not in (None, number):
                why = "Unable to update contact, email is already associated with another Contact"
                return 400, {}, {"code": "duplicate_parameter", "message": why}
            self.opted_out.discard(contact["email"])  # as its documentation says
            contact["email"] = attributes["EMAIL"]
        contact.update({k: v for k, v in attributes.items() if k != "EMAIL"})
        contact["lists"] |= set(body.get("listIds", []))
        contact["lists"] -= set(body.get("unlinkListIds", []))
        if "emailBlacklisted" in body:
            (self.opted_out.add if body["emailBlacklisted"] else self.opted_out.discard)(
                contact["email"]
            )
        return 204, {}, None

    def holds(self) -> list[dict[str, Any]]:
        found = [
            {k.lower(): v for k, v in c.items() if v not in ("", set())}
            for c in self.contacts.values()
        ]
        return [
            {k: v for k, v in one.items() if k != "lists"}
            for one in found
            if one.keys() != {"email"}
        ]
