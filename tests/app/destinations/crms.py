"""Servers that hold to the published APIs of CRMs: authentication, field names, limits, errors.

Each keeps contacts in memory. What an API refuses, it refuses as its documentation shows it; an
unknown path, method, field of the request or wrong type is an `AssertionError` the test sees.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, dict[str, str], Any]


class Crm:
    """An HTTP server; `trouble` are answers that come before all others."""

    url = ""
    kind = ""
    secrets: dict[str, str] = {}
    #: How many records one request may hold.
    most = 100

    def __init__(self) -> None:
        self.contacts: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.trouble: list[Answer] = []
        self.broken: list[str] = []
        self.opted_out: set[str] = set()
        self.ids = count(501)

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str],
               body: Any) -> Answer:  # fmt: skip
        raise NotImplementedError

    def authorized(self, headers: dict[str, str]) -> bool:
        raise NotImplementedError

    def by_email(self, email: str) -> str | None:
        return next((n for n, c in self.contacts.items() if c.get("email") == email), None)

    def holds(self) -> list[dict[str, Any]]:
        """Contacts of whom more than their key is there."""
        raise NotImplementedError


class HubSpotApi(Crm):
    """CRM objects v3 and communication preferences v4."""

    kind = "hubspot"
    secrets = {"access_token": "pat-1"}
    known = frozenset({"email", "firstname", "lastname", "pros"})

    def authorized(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == "Bearer pat-1"

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str],
               body: Any) -> Answer:  # fmt: skip
        assert method == "POST"
        if not self.authorized(headers):
            return 401, {}, {"status": "error", "category": "INVALID_AUTHENTICATION"}
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
        assert len({one["id"] for one in inputs}) == len(inputs), "twice in one batch"
        results, errors = [], []
        for one in inputs:
            assert one.keys() == keys
            assert all(isinstance(v, str) for v in one["properties"].values())
            trace = {"objectWriteTraceId": [one["objectWriteTraceId"]]}
            number = one["id"]
            if upsert:
                assert one["idProperty"] == "email"
                number = self.by_email(one["id"])
            if not upsert and number not in self.contacts:
                errors.append({"category": "OBJECT_NOT_FOUND", "context": trace})
            elif one["properties"].keys() - self.known or "!" in str(one["properties"]):
                errors.append({"category": "VALIDATION_ERROR", "context": trace})
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
        assert method in ("PUT", "DELETE")
        assert query == {"identifierType": "email_id"}
        number = self.by_email(unquote(path.removeprefix("/contacts/")))
        if number is None:
            return 404, {}, {"code": "document_not_found", "message": "Contact does not exist"}
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
                return 400, {}, {"code": "duplicate_parameter", "message": "email is taken"}
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


class SalesforceApi(Crm):
    """OAuth 2.0 client credentials and sObject Collections of REST API v66.0."""

    kind = "salesforce"
    secrets = {"client_id": "3MVG9", "client_secret": "8A4BE"}
    most = 200
    known = frozenset({"LastName", "FirstName", "Email", "HasOptedOutOfEmail", "Pros__c"})
    base = "/services/data/v66.0"

    def __init__(self) -> None:
        super().__init__()
        self.token = "00D-1"
        self.tokens = 0

    def authorized(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == f"Bearer {self.token}"

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str],
               body: Any) -> Answer:  # fmt: skip
        if path == "/services/oauth2/token":
            assert method == "POST"
            if body != {"grant_type": "client_credentials", **self.secrets}:
                return 400, {}, {"error": "invalid_client"}
            self.tokens += 1
            return 200, {}, {
                "access_token": self.token, "instance_url": self.url, "token_type": "Bearer",
            }  # fmt: skip
        if not self.authorized(headers):
            return 401, {}, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired"}]
        path = path.removeprefix(self.base)
        if method == "DELETE":
            return self._delete(path, query)
        assert method == "PATCH"
        assert body.keys() == {"allOrNone", "records"}
        records = body["records"]
        if not 0 < len(records) <= self.most:
            return 400, {}, [{"errorCode": "EXCEEDED_ID_LIMIT", "message": "too many"}]
        if path == "/composite/sobjects/Contact/Parcours_Id__c":
            return 200, {}, [self._upsert(one) for one in records]
        assert path == "/composite/sobjects", path
        return 200, {}, [self._update(one) for one in records]

    def _delete(self, path: str, query: dict[str, str]) -> Answer:
        if path.startswith("/sobjects/Contact/Parcours_Id__c/"):
            number = self._external(path.rpartition("/")[2])
            if number is None:
                return 404, {}, [{"errorCode": "NOT_FOUND", "message": "no such record"}]
            del self.contacts[number]
            return 204, {}, None
        assert path == "/composite/sobjects"
        assert query["allOrNone"] == "false"
        ids = query["ids"].split(",")
        return 200, {}, [
            {"id": n, "success": self.contacts.pop(n, None) is not None, "errors": []}
            for n in ids
        ]  # fmt: skip

    def _external(self, value: str) -> str | None:
        return next((n for n, c in self.contacts.items() if c["Parcours_Id__c"] == value), None)

    def _upsert(self, one: dict[str, Any]) -> Any:
        assert "id" not in one
        number = self._external(one["Parcours_Id__c"])
        new = number is None
        number = number or f"003{next(self.ids):012d}AAA"
        merged = {**self.contacts.get(number, {}), **self._fields(one)}
        wrong = self._wrong(one, merged)
        if wrong:
            return {"success": False, "errors": [wrong]}
        self.contacts[number] = merged
        return {"id": number, "success": True, "errors": [], "created": new}

    def _update(self, one: dict[str, Any]) -> Any:
        number = one.pop("id")
        if number not in self.contacts:
            gone = {"statusCode": "ENTITY_IS_DELETED", "message": "deleted", "fields": []}
            return {"success": False, "errors": [gone]}
        merged = {**self.contacts[number], **self._fields(one)}
        wrong = self._wrong(one, merged)
        if wrong:
            return {"success": False, "errors": [wrong]}
        self.contacts[number] = merged
        return {"id": number, "success": True, "errors": []}

    def _fields(self, one: dict[str, Any]) -> dict[str, Any]:
        assert one["attributes"] == {"type": "Contact"}
        return {k: v for k, v in one.items() if k != "attributes"}

    def _wrong(self, one: dict[str, Any], merged: dict[str, Any]) -> Any:
        unknown = one.keys() - self.known - {"attributes", "Parcours_Id__c"}
        if unknown:
            return {"statusCode": "INVALID_FIELD", "message": "", "fields": sorted(unknown)}
        if not merged.get("LastName"):
            return {
                "statusCode": "REQUIRED_FIELD_MISSING", "message": "", "fields": ["LastName"],
            }  # fmt: skip
        if "!" in str(one.get("Email")):
            return {"statusCode": "INVALID_EMAIL_ADDRESS", "message": "", "fields": ["Email"]}
        return None

    def holds(self) -> list[dict[str, Any]]:
        names = {"LastName": "lastname", "FirstName": "firstname", "Email": "email",
                 "Pros__c": "pros"}  # fmt: skip
        found = [
            {names[k]: v for k, v in c.items() if k in names and v is not None}
            for c in self.contacts.values()
        ]
        self.opted_out = {
            c["Parcours_Id__c"] for c in self.contacts.values() if c.get("HasOptedOutOfEmail")
        }
        return [one for one in found if one != {"lastname": "-"}]


class MauticApi(Crm):
    """REST API, contacts."""

    kind = "mautic"
    secrets = {"user": "parcours", "password": "secret"}
    most = 200
    known = frozenset({"email", "firstname", "lastname", "pros", "tags", "overwriteWithBlank"})

    def authorized(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == "Basic " + b64encode(b"parcours:secret").decode()

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str],
               body: Any) -> Answer:  # fmt: skip
        if not self.authorized(headers):
            return 401, {}, {"errors": [{"code": 401, "type": "access_denied"}]}
        path = path.removeprefix("/api/contacts")
        if "/dnc/" in path:
            assert method == "POST"
            _, number, _, channel, verb = path.split("/")
            assert channel == "email"
            (self.opted_out.add if verb == "add" else self.opted_out.discard)(number)
            return 200, {}, {"contact": {"id": int(number)}}
        if method == "GET":
            email = query["search"].removeprefix("email:")
            there = self.by_email(email)
            rows = {there: {"id": int(there)}} if there else {}
            return 200, {}, {"total": len(rows), "contacts": rows}
        if method == "DELETE":
            assert path == "/batch/delete"
            ids = query["ids"].split(",")
            gone = [self.contacts.pop(n, None) for n in ids]
            errors = {str(i): {"code": 404} for i, one in enumerate(gone) if one is None}
            return 200, {}, {"contacts": [{}] * len(ids), **({"errors": errors} if errors else {})}
        assert (method, path) in {("POST", "/batch/new"), ("PATCH", "/batch/edit")}, (method, path)
        if not 0 < len(body) <= self.most:
            return 500, {}, {"errors": [{"code": 500, "message": "batch limit"}]}
        return self._write(method == "POST", body)

    def _write(self, new: bool, body: Any) -> Answer:
        contacts: list[Any] = []
        codes: list[int] = []
        errors: dict[str, Any] = {}
        for n, given in enumerate(body):
            one = dict(given)
            assert ("id" in one) is not new
            number: str | None = str(one.pop("id", "")) or self.by_email(one["email"])
            unknown = one.keys() - self.known
            wrong = "!" in str(one.get("email", "")) or unknown
            if wrong or (not new and number not in self.contacts):
                code = 400 if wrong else 404
                errors[str(n)] = {"code": code, "details": {"email": ["invalid"]} if wrong else []}
                contacts.append(None)
                codes.append(code)
                continue
            codes.append(200 if number else 201)
            number = number or str(next(self.ids))
            contact = self.contacts.setdefault(number, {"tags": set()})
            for tag in one.pop("tags", []):
                drop = tag.startswith("-")
                (contact["tags"].discard if drop else contact["tags"].add)(tag.removeprefix("-"))
            blank = one.pop("overwriteWithBlank", False)
            contact.update({k: v for k, v in one.items() if blank or v != ""})
            contacts.append({"id": int(number)})
        said = {
            "contacts": contacts,
            "statusCodes": codes,
            **({"errors": errors} if errors else {}),
        }
        return (201 if new else 200), {}, said

    def holds(self) -> list[dict[str, Any]]:
        found = [
            {k: v for k, v in c.items() if v not in ("", set())} for c in self.contacts.values()
        ]
        return [
            {k: v for k, v in one.items() if k != "tags"}
            for one in found
            if one.keys() != {"email"}
        ]


@contextmanager
def serving(crm: Crm) -> Iterator[Crm]:
    """Serve an API on this machine; what it cannot understand fails the test in the end."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            headers = {k.lower(): v for k, v in self.headers.items()}
            with lock:
                try:
                    body = _body(raw, headers.get("content-type", ""))
                    crm.requests.append((self.command, self.path, body))
                    if crm.trouble:
                        status, more, said = crm.trouble.pop(0)
                    else:
                        status, more, said = crm.answer(
                            self.command, parts.path, query, headers, body
                        )
                except Exception as error:
                    crm.broken.append(f"{self.command} {self.path}: {error!r}")
                    status, more, said = 500, {}, None
            written = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {**more, "content-length": str(len(written))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        crm.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield crm
        server.shutdown()
        thread.join()
    assert crm.broken == []


def _body(raw: bytes, kind: str) -> Any:
    if not raw:
        return None
    if kind == "application/x-www-form-urlencoded":
        return {k: v[0] for k, v in parse_qs(raw.decode()).items()}
    assert kind == "application/json"
    return json.loads(raw)


Make = Callable[[], Crm]
APIS: dict[str, Make] = {
    "hubspot": HubSpotApi, "brevo": BrevoApi, "salesforce": SalesforceApi, "mautic": MauticApi,
}  # fmt: skip
