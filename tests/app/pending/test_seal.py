"""What is sealed opens only as it was sealed, under the keys that are there."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.errors import HoldKeyUnusable
from app.pending.seal import SECRET, Key, Keyring, Label
from app.pending.vault import Vault
from app.settings import Settings

NOW = datetime(2026, 11, 22, 23, 59, 59, 999_999, tzinfo=UTC)
LABEL = Label(7, b"m" * 16, NOW, NOW + timedelta(minutes=30))
SHORT = base64.b64encode(b"a" * 31).decode()


def secret() -> bytes:
    return os.urandom(SECRET)


def encoded(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def test_what_is_sealed_is_opened_again_and_looks_different_each_time() -> None:
    key = Key(secret())
    first, second = key.seal(b"order o-7", LABEL), key.seal(b"order o-7", LABEL)
    assert first != second
    assert b"o-7" not in first
    assert key.open(first, LABEL) == key.open(second, LABEL) == b"order o-7"


@pytest.mark.parametrize(
    "other",
    [
        replace(LABEL, source_id=8),
        replace(LABEL, message=b"n" * 16),
        replace(LABEL, received_at=NOW - timedelta(microseconds=1)),
        replace(LABEL, received_at=NOW + timedelta(microseconds=1)),
        replace(LABEL, expires_at=LABEL.expires_at + timedelta(microseconds=1)),
    ],
)
def test_it_does_not_open_under_another_source_message_or_time(other: Label) -> None:
    key = Key(secret())
    assert key.open(key.seal(b"x", LABEL), other) is None


def test_a_changed_byte_another_key_or_rubbish_opens_nothing_and_raises_nothing() -> None:
    key = Key(secret())
    sealed = key.seal(b"x", LABEL)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert key.open(bytes(changed), LABEL) is None
    for rubbish in (b"", b"short", sealed[:12], sealed[:-1]):
        assert key.open(rubbish, LABEL) is None
    assert Key(secret()).open(sealed, LABEL) is None


def test_hashes_need_the_key_and_never_confuse_namespace_and_value() -> None:
    one, two = Key(secret()), Key(secret())
    assert one.subject("user_id", "u") == one.subject("user_id", "u")
    hashes = {
        one.subject("user_id", "u"), two.subject("user_id", "u"), one.subject("user", "idu"),
        one.subject("anonymous_id", "u"), one.message("u"), two.message("u"),
        one.message("user_id\0u"),
    }  # fmt: skip
    assert len(hashes) == 7
    assert {len(h) for h in hashes} == {16}


def test_the_newest_key_seals_and_all_of_them_open() -> None:
    old, new = Key(secret()), Key(secret())
    before, after = Keyring([old]), Keyring([new, old])
    sealed = before.newest.seal(b"x", LABEL)
    assert after.newest.id == new.id != old.id
    assert after.open(old.id, sealed, LABEL) == b"x"
    assert after.open(new.id, sealed, LABEL) is None
    assert Keyring([new]).open(old.id, sealed, LABEL) is None
    assert after.subjects("user_id", "u") == [
        new.subject("user_id", "u"), old.subject("user_id", "u")
    ]  # fmt: skip


def test_the_file_is_made_for_its_owner_alone_and_only_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    assert Vault(settings).keyring() is None

    def first(_: int) -> bytes:
        return Vault(settings).keyring_for_holding().newest.id

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(first, range(8)))
    assert len(ids) == 1
    [file] = (tmp_path / "new").iterdir()
    assert file.name == "hold.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_that_is_added_to_the_file_is_used_without_a_restart(tmp_path: Path) -> None:
    vault = Vault(Settings(data_dir=tmp_path))
    old = vault.keyring_for_holding().newest.id
    text = vault.path.read_text()
    vault.path.write_text(encoded(secret()) + "\n" + text)
    found = vault.keyring()
    assert found is not None
    assert found.newest.id != old
    assert old in found.ids


def test_the_setting_goes_before_the_file(tmp_path: Path) -> None:
    key = secret()
    vault = Vault(Settings(data_dir=tmp_path, hold_key=SecretStr(encoded(key, secret()))))
    assert vault.keyring_for_holding().newest.id == Key(key).id
    assert vault.origin == "PARCOURS_HOLD_KEY"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "%%%", SHORT, encoded(b"k" * 32) + "," + SHORT])
def test_a_setting_that_is_no_key_is_refused_without_being_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(HoldKeyUnusable) as refused:
        Vault(Settings(data_dir=tmp_path, hold_key=SecretStr(text)))
    assert "PARCOURS_HOLD_KEY" in str(refused.value)
    assert SHORT not in str(refused.value)


def test_a_file_that_others_may_read_or_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    vault = Vault(Settings(data_dir=tmp_path))
    vault.keyring_for_holding()
    vault.path.chmod(0o640)
    with pytest.raises(HoldKeyUnusable, match="chmod 600"):
        Vault(Settings(data_dir=tmp_path)).keyring()
    vault.path.chmod(0o600)
    vault.path.write_bytes(b"\xff\n")
    with pytest.raises(HoldKeyUnusable):
        vault.keyring()


def test_settings_show_the_key_neither_printed_nor_in_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = encoded(secret())
    assert key not in repr(Settings(hold_key=SecretStr(key)))
    monkeypatch.setenv("PARCOURS_HOLD_KEY", key)
    monkeypatch.setenv("PARCOURS_MAX_HELD_EVENTS", "0")
    with pytest.raises(ValueError, match="max_held_events") as refused:
        Settings()
    assert key not in str(refused.value)
