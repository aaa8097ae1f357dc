"""Salesforce's and Mautic's published APIs for contacts, as servers of a test."""

import re
from base64 import b64encode
from typing import Any

from tests.app.destinations.crm_server import Answer, Crm


class SalesforceApi(Crm):
    """OAuth 2.0 client credentials and sObject Collections of REST API v66.0."""

    kind = "salesforce"
    secrets = {"client_id": "3MVG9", "client_secret": "8A4BE"}
    most = 200
    known = frozenset({"LastName", "FirstName", "Email", "HasOptedOutOfEmail", "Pros__c"})
    boxes = frozenset({"HasOptedOutOfEmail", "Pros__c"})
    texts = frozenset({"LastName", "FirstName", "Email"})
    base = "/services/data/v66.0"

    def __init__(self) -> None:
        super().__init__()
        self.token = "00D-1"
        self.tokens = 0
        #: What an organisation has made required, and what a rule of it lets nobody change.
        self.demanded: frozenset[str] = frozenset()
        self.fixed: frozenset[str] = frozenset()
        #: Whether its errors say of which fields they are: those of a validation rule may not.
        self.names_fields = True

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
        if method == "GET":
            assert query == {"fields": "Id"}
            number = self._external(path.removeprefix("/sobjects/Contact/Parcours_Id__c/"))
            if number is None:
                return 404, {}, [{"errorCode": "NOT_FOUND", "message": "no such record"}]
            return 200, {}, {"attributes": {"type": "Contact"}, "Id": number}
        assert method == "PATCH"
        assert body.keys() == {"allOrNone", "records"}
        records = body["records"]
        if not 0 < len(records) <= self.most:
            return 400, {}, [{"errorCode": "EXCEEDED_ID_LIMIT", "message": "too many"}]
        if wrong := next((w for one in records if (w := self._unread(one))), None):
            return 400, {}, [wrong]
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
        before = self.contacts.get(number, {})
        merged = {**before, **self._fields(one)}
        wrong = self._wrong(one, merged, before)
        if wrong:
            return {"success": False, "errors": [wrong]}
        self.contacts[number] = merged
        return {"id": number, "success": True, "errors": [], "created": new}

    def _update(self, one: dict[str, Any]) -> Any:
        number = one.pop("id")
        if number not in self.contacts:
            gone = {"statusCode": "ENTITY_IS_DELETED", "message": "deleted", "fields": []}
            return {"success": False, "errors": [gone]}
        before = self.contacts[number]
        merged = {**before, **self._fields(one)}
        wrong = self._wrong(one, merged, before)
        if wrong:
            return {"success": False, "errors": [wrong]}
        self.contacts[number] = merged
        return {"id": number, "success": True, "errors": []}

    def _fields(self, one: dict[str, Any]) -> dict[str, Any]:
        assert one["attributes"] == {"type": "Contact"}
        return {k: v for k, v in one.items() if k != "attributes"}

    def _unread(self, one: dict[str, Any]) -> Any:
        """What of a record cannot be read as one: then nothing of the whole request is."""
        given = {k: v for k, v in one.items() if k not in ("attributes", "id", "Parcours_Id__c")}
        if unknown := sorted(given.keys() - self.known):
            said = f"No such column '{unknown[0]}' on sobject of type Contact"
            return {"errorCode": "INVALID_FIELD", "message": said}
        for name, value in given.items():
            kind, wanted = ("string", str) if name in self.texts else ("boolean", bool)
            if value is not None and not isinstance(value, wanted):
                said = f"Cannot deserialize instance of {kind} from value or request may be missing"
                return {"errorCode": "JSON_PARSER_ERROR", "message": f"{said} a required field"}
        return None

    def _wrong(self, one: dict[str, Any], merged: dict[str, Any], before: Any) -> Any:
        """The first thing that is wrong with a record, as Salesforce names it."""
        given = one.keys() - {"attributes", "Parcours_Id__c"}
        lacks = {n for n in self.demanded & given if not one[n]} or (
            set() if merged.get("LastName") else {"LastName"}
        )
        mail = one.get("Email")
        wrong = {
            # There is no checkbox without a value.
            "INVALID_TYPE_ON_FIELD_IN_RECORD": {n for n in self.boxes & given if one[n] is None},
            "REQUIRED_FIELD_MISSING": lacks,
            "FIELD_CUSTOM_VALIDATION_EXCEPTION": {
                n for n in self.fixed & given if before and one[n] != before.get(n)
            },
            "INVALID_EMAIL_ADDRESS": {"Email"} if mail and ("!" in mail or "@" not in mail) else (),
        }
        return next(
            ({"statusCode": code, "message": "",
              "fields": sorted(names) if self.names_fields else []}
             for code, names in wrong.items() if names),
            None,
        )  # fmt: skip

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
        return [one for one in found if one != {"lastname": "-", "pros": False}]


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
            like = re.compile(re.escape(email).replace("_", ".").replace("%", ".*"), re.IGNORECASE)
            found = {n: c for n, c in self.contacts.items() if like.fullmatch(c.get("email", ""))}
            rows = {
                n: {"id": int(n), "fields": {"core": {}, "all": {"id": n, "email": c["email"]}}}
                for n, c in list(found.items())[: int(query.get("limit", 30))]
            }
            return 200, {}, {"total": len(found), "contacts": rows}
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
                if unknown:  # of earlier versions; later ones pass over what they do not know
                    why = "This form should not contain extra fields."
                    errors[str(n)] = {"code": 400, "message": f"#: {why}", "details": {"": [why]}}
                contacts.append(None)
                codes.append(code)
                continue
            other = self.by_email(one.get("email", ""))
            if not new and other not in (None, number):  # it makes one of the two (preSaveEntity)
                merged = self.contacts.pop(str(other))
                self.contacts[str(number)]["tags"] |= merged["tags"]
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
