"""`parcours client …` and `parcours signing-key …` as an administrator types them."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey

from app.errors import ClientNotFound, CredentialNotFound, DefinitionInvalid
from tests.api.line import Line
from tests.api.oauth.test_private_key import claims, present, sign
from tests.api.oauth.wire import Known, ask


@pytest.fixture
def line(tmp_path: Path, database_url: str) -> Line:
    return Line("client", tmp_path, database_url)


def key_file(folder: Path, name: str) -> tuple[ECKey, Path]:
    key = ECKey.generate_key("P-256", {"kid": name})
    path = folder / f"{name}.jwk"
    path.write_text(json.dumps(key.as_dict(private=False)), encoding="utf-8")
    return key, path


def test_a_client_with_a_secret_gets_another_and_then_ends_the_first(
    line: Line, server: TestClient
) -> None:
    made = line.json("add", "crm", "--scope", "profiles:read", "--purpose", "marketing.email")
    assert set(made) == {"client_id", "client_secret"}
    first = Known(made["client_id"], made["client_secret"])
    turned = line.json("rotate", first.id)
    second = Known(first.id, turned["client_secret"])
    assert [ask(server, one).status_code for one in (first, second)] == [200, 200]

    shown = line.json("credentials", first.id)
    assert [(one["kind"], one["hint"]) for one in shown] == [
        ("secret", first.secret[-4:]),
        ("secret", second.secret[-4:]),
    ]
    assert shown[0]["expires_at"] == turned["others_end_at"]
    line("end-credential", first.id, str(shown[0]["id"]))
    assert [ask(server, one).status_code for one in (first, second)] == [401, 200]
    with pytest.raises(CredentialNotFound):
        line("end-credential", first.id, str(shown[0]["id"]))
    third = Known(first.id, line.json("rotate", first.id, "--now")["client_secret"])
    assert [ask(server, one).status_code for one in (second, third)] == [401, 200]


def test_a_client_without_a_secret_signs_and_its_key_is_replaced(
    line: Line, server: TestClient, tmp_path: Path
) -> None:
    first, file = key_file(tmp_path, "first")
    made = line.json("add", "crm", "--scope", "profiles:read", "--key", str(file))
    client_id = made["client_id"]
    assert made == {"client_id": client_id, "key_ids": ["first"]}
    second, file = key_file(tmp_path, "second")
    assert line.json("add-key", client_id, str(file))["key_ids"] == ["second"]
    third, file = key_file(tmp_path, "third")
    assert line.json("rotate", client_id, "--key", str(file), "--keep", "1h")["key_ids"] == [
        "third"
    ]
    for key in (first, second, third):
        assert present(server, sign(key, claims(client_id))).status_code == 200
    private = tmp_path / "private.jwk"
    private.write_text(json.dumps(third.as_dict(private=True)), encoding="utf-8")
    with pytest.raises(DefinitionInvalid) as failed:
        line("add-key", client_id, str(private))
    assert str(third.as_dict(private=True)["d"]) not in str(failed.value)


def test_a_client_is_limited_its_tokens_are_revoked_and_it_is_removed(
    line: Line, server: TestClient
) -> None:
    made = line.json("add", "crm", "--scope", "segments:read")
    client = Known(made["client_id"], made["client_secret"])
    token = {"Authorization": f"Bearer {ask(server, client).json()['access_token']}"}
    assert server.get("/v1/segments", headers=token).status_code == 200
    limited = line.json("limit", client.id, "--requests-per-second", "0.5", "--burst", "2")
    assert (limited["requests_per_second"], limited["burst"]) == (0.5, 2)
    assert [server.get("/v1/segments", headers=token).status_code for _ in range(3)][-1] == 429
    assert line.json("limit", client.id)["requests_per_second"] is None
    line("revoke-tokens", client.id)
    assert server.get("/v1/segments", headers=token).status_code == 401
    line("remove", client.id)
    assert ask(server, client).status_code == 401
    with pytest.raises(ClientNotFound):
        line("credentials", client.id)


def test_the_key_that_signs_tokens_is_listed_and_rotated(tmp_path: Path, database_url: str) -> None:
    line = Line("signing-key", tmp_path, database_url)
    [first] = line.json("list")
    assert (first["signs"], first["retired_at"]) == (True, None)
    second, still = line.json("rotate")
    assert (second["signs"], still["signs"], still["kid"]) == (False, True, first["kid"])
    [third] = line.json("rotate", "--now")
    assert third["signs"]
    assert third["kid"] not in (first["kid"], second["kid"])
