"""Check 86: what is logged of an error names nobody, and the tests would see it if it did."""

import logging
from pathlib import Path

import pytest

from app import logs
from tests.end_to_end.logs import Watch

WHO = "ada@example.org"


def formatted(error: BaseException) -> str:
    record = logging.LogRecord("parcours", 40, "", 0, "failed", None, (type(error), error, None))
    return logs.Formatter(logs.FORMAT).format(record)


def test_86_an_error_is_told_by_kind_and_place_with_its_causes() -> None:
    def deep() -> None:
        raise ValueError(WHO)

    def around() -> None:
        try:
            deep()
        except ValueError as error:
            raise RuntimeError(f"of {WHO}") from error

    with pytest.raises(RuntimeError) as found:
        around()
    text = formatted(found.value)
    assert WHO not in text
    assert text.index("builtins.ValueError") < text.index("builtins.RuntimeError")
    assert "in deep" in text
    assert text.endswith("builtins.RuntimeError")


def test_86_an_error_that_is_its_own_cause_is_told_once() -> None:
    error = ValueError(WHO)
    error.__context__ = KeyError()
    error.__context__.__context__ = error
    assert formatted(error).count("ValueError") == 1


@pytest.mark.parametrize(
    "line",
    [
        "request failed: u-4711-ada",
        f"Key (namespace, value)=(email, {WHO}) already exists",
        "to +33142685300",
        "key wk_0123456789abcdefghij",
        "secret whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkw",
        "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_86_the_watch_sees_what_was_sent_and_what_looks_like_somebody(
    line: str, tmp_path: Path
) -> None:
    watch = Watch()
    watch.note({"batch": [{"userId": "u-4711-ada", "event": "Order Completed"}]})
    log = tmp_path / "serve.err"
    log.write_text("2026-11-28 job ledger failed: Order Completed\n", encoding="utf-8")
    assert watch.found(iter([log])) == []
    log.write_text(f"2026-11-28 {line}\n", encoding="utf-8")
    assert len(watch.found(iter([log]))) == 1
