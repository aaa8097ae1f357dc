"""Settings as compose files and operators write them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings

EVERY = [f"PARCOURS_{name.upper()}" for name in Settings.model_fields]


def test_an_empty_variable_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EVERY:
        monkeypatch.delenv(name, raising=False)
    plain = Settings()
    for name in EVERY:
        monkeypatch.setenv(name, "")
    empty = Settings()
    assert empty.trusted_proxies == ""
    assert empty.model_copy(update={"trusted_proxies": plain.trusted_proxies}) == plain
    assert empty.journal == plain.home / "erasure.journal"
    assert "public_url" not in empty.model_fields_set


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "h:5432/hunter2", "postgresql://h:hunter2"]
)
@pytest.mark.parametrize("name", ["database_url", "keystore_url"])
def test_an_address_of_no_postgresql_is_refused_and_not_repeated(name: str, url: str) -> None:
    with pytest.raises(ValidationError, match="no address of a PostgreSQL") as refused:
        Settings.model_validate({name: url})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_way_to_write_the_address_of_a_postgresql_is_taken(
    scheme: str, tmp_path: Path
) -> None:
    url = f"{scheme}://u:p@127.0.0.1/d?host={tmp_path}"
    assert Settings(database_url=url).database_url == url
