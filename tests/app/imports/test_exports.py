"""What product analytics export, in the shapes in which they do: a row or two of each, by hand.

After the descriptions of Google Analytics 4 in BigQuery, Mixpanel's and Amplitude's export APIs,
Matomo's Live API, Snowplow's atomic events, and OTTO's sessions.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.imports.columns import EXPORTS
from tests.app.imports.test_published_logs import imported

GOOGLE = {
    "event_date": "20210131", "event_timestamp": "1612069510766593", "event_name": "page_view",
    "event_params": [
        {"key": "ga_session_id", "value": {"string_value": None, "int_value": "661084800"}},
        {"key": "page_title", "value": {"string_value": "Home", "int_value": None}},
    ],
    "user_id": None, "user_pseudo_id": "1026454.4271112504", "platform": "WEB",
}  # fmt: skip
MIXPANEL = {
    "event": "Signed up",
    "properties": {"time": 1602611311, "distinct_id": "ada", "$insert_id": "i1", "$city": "Lyon"},
}
AMPLITUDE = {
    "$insert_id": "x", "amplitude_id": 1, "device_id": "d-1", "user_id": None, "uuid": "u-1",
    "event_time": "2020-02-29 23:59:59.123000", "event_type": "Viewed", "session_id": 5,
    "event_properties": {"sku": "s"}, "user_properties": {"plan": "pro"}, "city": None,
}  # fmt: skip
MATOMO = {
    "idSite": "1", "idVisit": "7", "visitorId": "9f", "userId": None,
    "actionDetails": [
        {"type": "action", "url": "/a", "timestamp": 1600000000},
        {"type": "ecommerceOrder", "revenue": "5", "timestamp": 1600000009},
    ],
}  # fmt: skip
SNOWPLOW = {
    "event_id": "e-1", "event": "page_view", "domain_userid": "d", "user_id": None,
    "collector_tstamp": "2021-01-01 00:00:09.1", "derived_tstamp": "2021-01-01 00:00:00.5",
}  # fmt: skip
OTTO = {
    "session": 0,
    "events": [{"aid": 15, "ts": 1659304800025, "type": "clicks"},
               {"aid": 16, "ts": 1659304904511, "type": "orders"}],
}  # fmt: skip


def written(tmp_path: Path, name: str, *rows: Any) -> Path:
    file = tmp_path / name
    lines = "\n".join(json.dumps(row) for row in rows) + "\n"
    file.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())
    return file


def who(message: Any) -> dict[str, str]:
    own = {key: message[key] for key in ("userId", "anonymousId") if key in message}
    others = message.get("context", {}).get("externalIds", ())
    return own | {one["type"]: one["id"] for one in others}


@pytest.mark.parametrize(
    ("row", "known", "event", "time", "properties"),
    [
        (GOOGLE, {"anonymousId": "1026454.4271112504"}, "page_view",
         "2021-01-31T05:05:10.766593+00:00",
         {"event_date": "20210131", "platform": "WEB", "ga_session_id": 661084800,
          "page_title": "Home"}),
        (MIXPANEL, {"distinct_id": "ada"}, "Signed up", "2020-10-13T17:48:31+00:00",
         {"$city": "Lyon"}),
        (AMPLITUDE, {"anonymousId": "d-1"}, "Viewed", "2020-02-29T23:59:59.123000+00:00",
         {"$insert_id": "x", "amplitude_id": 1, "session_id": 5, "sku": "s",
          "user_properties": {"plan": "pro"}}),
        (SNOWPLOW, {"anonymousId": "d"}, "page_view", "2021-01-01T00:00:00.500000+00:00",
         {"collector_tstamp": "2021-01-01 00:00:09.1"}),
    ],
    ids=["google", "mixpanel", "amplitude", "snowplow"],
)  # fmt: skip
def test_exports_come_in_by_their_own_names(
    tmp_path: Path, row: Any, known: dict[str, str], event: str, time: str, properties: Any
) -> None:
    report, [message] = imported(written(tmp_path, "export.json.gz", row))
    assert (report.accepted, dict(report.rejected)) == (1, {})
    assert (who(message), message["event"], message["timestamp"]) == (known, event, time)
    assert message["properties"] == properties


def test_who_is_known_stays_known_beside_the_device(tmp_path: Path) -> None:
    rows = [AMPLITUDE, {**AMPLITUDE, "user_id": "ada", "uuid": "u-2"}]
    report, [unknown, known] = imported(written(tmp_path, "a.ndjson", *rows))
    assert report.accepted == 2
    assert (who(unknown), who(known)) == (
        {"anonymousId": "d-1"}, {"anonymousId": "d-1", "userId": "ada"},
    )  # fmt: skip
    assert [unknown["messageId"], known["messageId"]] == ["u-1", "u-2"]
    named = {**MIXPANEL["properties"], "$user_id": "ada", "$device_id": "d"}  # type: ignore[dict-item]  # its values differ
    report, [one] = imported(written(tmp_path, "m.jsonl", {"event": "E", "properties": named}))
    assert who(one) == {"anonymousId": "d", "userId": "ada"}
    assert set(EXPORTS) == {"amplitudeid", "userpseudoid", "distinctid", "idvisit", "domainuserid"}


@pytest.mark.parametrize("form", ["lines", "array", "pretty"])
def test_a_row_of_several_events_is_several_events(tmp_path: Path, form: str) -> None:
    rows = [MATOMO, {**MATOMO, "idVisit": "8", "visitorId": "a0"}]
    file = written(tmp_path, "visits.json", *rows)
    if form != "lines":
        file.write_text(json.dumps(rows, indent=2 if form == "pretty" else None), "utf-8")
    report, found = imported(file)
    assert (report.accepted, dict(report.rejected)) == (4, {})
    assert [(who(one), one["event"]) for one in found] == [
        (who_, event)
        for who_ in ({"anonymousId": "9f"}, {"anonymousId": "a0"})
        for event in ("action", "ecommerceOrder")
    ]
    assert found[1]["properties"] == {"idSite": "1", "idVisit": "7", "revenue": "5"}
    assert found[1]["timestamp"] == "2020-09-13T12:26:49+00:00"


def test_sessions_of_otto_are_cases(tmp_path: Path) -> None:
    report, [click, order] = imported(written(tmp_path, "train.jsonl", OTTO))
    assert (report.accepted, who(click), who(order)) == (
        2, {"session_case_id": "0"}, {"session_case_id": "0"},
    )  # fmt: skip
    assert (click["event"], order["event"]) == ("clicks", "orders")
    assert order["timestamp"] == "2022-07-31T22:01:44.511000+00:00"
