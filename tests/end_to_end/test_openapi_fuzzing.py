"""Every operation of the OpenAPI document, called as it says and as it does not: never a 5xx."""

import json
import os
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from app.journeys import sheet_cells
from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import Product, Sender

schemathesis.serializer.alias(sheet_cells.MEDIA_TYPE, "application/octet-stream")

#: Examples of each operation and kind; FUZZ_EXAMPLES=200 for a long run by hand.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
#: Strange on purpose: what is generated may not be what a client library likes to send.
CHECKS = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


def fault(response: httpx.Response) -> str:
    """Say what is wrong with an answer, if anything is."""
    if response.status_code >= 500:
        return "status"
    if response.status_code < 400:
        return ""
    try:
        said = response.json()
    except ValueError:
        return "not JSON"
    if "error" in said:  # OAuth's own form (RFC 6749 section 5.2)
        return ""
    return "" if said.get("code") and said.get("message") else "no code and message"


def test_no_call_of_any_operation_is_answered_with_a_server_error(
    product: Product, measure: Measure
) -> None:
    key = product.add_source("fuzz")
    sender = Sender(product, key)
    sender.batch({"type": "identify", "userId": "ada", "traits": {"email": "ada@example.com"}})
    client = product.add_client(name="fuzz")
    document: dict[str, Any] = client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    seed = random.randrange(1_000_000)  # noqa: S311  # printed, to be repeated
    measure("seed", seed)
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    operations = 0

    def call(case: Any, write_key: bool) -> None:
        parts = case.as_transport_kwargs(base_url=product.url)
        headers = {
            name: value
            for name, value in dict(parts.get("headers") or {}).items()
            if name.lower() not in ("authorization", "content-length")
        }
        request = client.build_request(
            parts["method"],
            parts["url"],
            params=parts.get("params"),
            json=parts.get("json"),
            data=parts.get("data") if isinstance(parts.get("data"), dict) else None,
            content=parts.get("data") if isinstance(parts.get("data"), bytes | str) else None,
            headers=headers,
        )
        if write_key:
            del request.headers["Authorization"]
            response = client.send(request, auth=(key, ""))
        else:
            response = client.send(request)
        statuses[response.status_code] += 1
        if reason := fault(response):
            shown = json.dumps({k: str(v)[:300] for k, v in parts.items()})
            wrong.append(f"{reason} {response.status_code}: {shown} {response.text[:200]}")

    def explore(operation: Any, mode: GenerationMode, write_key: bool) -> None:
        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=CHECKS,
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def examples(case: Any) -> None:
            try:
                call(case, write_key)
            except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError):
                hypothesis.reject()  # the client cannot even send it

        with suppress(hypothesis.errors.Unsatisfiable):  # it has nothing that could be wrong
            examples()

    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        operations += 1
        tracking = "tracking" in (operation.definition.raw.get("tags") or ())
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            explore(operation, mode, tracking)
    measure("operations and answers", (operations, dict(sorted(statuses.items()))))
    assert wrong[:10] == [], len(wrong)
    assert operations == sum(len(path) for path in document["paths"].values())
    assert statuses.total() > operations * EXAMPLES / 2
    sender.settled(120)
    assert "failed" not in product.output("err").read_text()


pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
