"""A bundle for auditors is checked offline, and whatever is changed in it is found and named."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import consent
from api.cli.root import app
from app import db
from app.accountability import bundle as bundles
from app.db import Sessions, snapshot
from app.errors import BundleUnusable
from app.ledger import seal
from app.ledger.job import LedgerJob
from app.privacy import requests
from app.settings import Settings
from app.suppression import gate
from consent.defaults import CATALOGUE
from consent.ledger import Signer, bundle, check, store
from tests.app.ledger.recording import people
from tests.conftest import _execute, _named

NOW = datetime.now(UTC)
BANNER = {"key": "banner", "version": 1, "language": "fr", "purposes": ["ads.share"],
          "body": "Nous aimerions …\r\nunité"}  # fmt: skip


class Kept:
    """A ledger of some people under two keys, and a bundle of it."""

    def __init__(self, url: str, home: Path) -> None:
        self.settings = Settings(database_url=url, data_dir=home)
        self.engine = db.engine(url)
        self.sessions = db.sessions(self.engine)
        self.job = LedgerJob(self.sessions, self.settings)
        gate.use(self.settings)
        people(self.sessions, 40)
        self.job.round()
        self.first = self._note()
        with self.sessions.begin() as session:
            consent.catalogue.add_notice(session, **BANNER)  # type: ignore[arg-type]  # as above
            requests.open_(session, self.settings, kind="access", by="test", now=NOW,
                           identifiers=[("user_id", "u-1")])  # fmt: skip
            seal.rotate(session, self.job.keystore, host="x", overlap=timedelta(0), new_log=False)
        people(self.sessions, 30, start=40)
        self.job.round()
        self.folder = home / "bundle"
        self.written = self.write(self.folder)

    def _note(self) -> str:
        with self.sessions() as session:
            return store.head(session).note

    @property
    def signers(self) -> list[Signer]:
        return [key.signer for key in self.job.keystore.signing_keys(at=datetime.now(UTC))]

    def write(self, folder: Path, **more: Any) -> dict[str, Any]:
        with snapshot(self.sessions) as session:
            return bundles.write(session, folder, self.signers, self.settings, at=NOW, **more)


@pytest.fixture(scope="module")
def kept(
    server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    name = "bundle_" + hashlib.sha256(str(tmp_path_factory.getbasetemp()).encode()).hexdigest()[:12]
    _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    made = Kept(_named(server_url, name), tmp_path_factory.mktemp("home"))
    yield made
    made.job.keystore.close()
    made.engine.dispose()
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def folder(kept: Kept, tmp_path: Path) -> Path:
    """A copy of the bundle, to be damaged."""
    return shutil.copytree(kept.folder, tmp_path / "copy")


def signed_anew(folder: Path, signers: list[Signer]) -> None:
    """Do what somebody can do who has the key: sign what the folder holds now."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != bundle.MANIFEST
    }
    text = bundle.manifest(files, signers, created=NOW)
    (folder / bundle.MANIFEST).write_text(text, encoding="utf-8")


def edit(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a file of JSON."""
    value = json.loads((folder / name).read_text("utf-8"))
    changed = change(value)
    (folder / name).write_text(json.dumps(value if changed is None else changed), encoding="utf-8")


def test_a_bundle_is_sound_says_what_is_open_and_names_nobody(kept: Kept) -> None:
    found = bundle.check(kept.folder, vkeys=[s.vkey for s in kept.signers], external=[kept.first])
    assert (found.problems, found.keys_given, found.checkpoints) == ([], True, 2)
    assert found.entries == kept.written["entries"] > 70
    assert found.shown == kept.written["shown"] == found.entries - 70
    texts = [p.read_text("utf-8") for p in kept.folder.rglob("*") if p.is_file()]
    assert not any("u-1" in text or "user_id" in text for text in texts)
    gaps = json.loads((kept.folder / "gaps.json").read_text("utf-8"))
    assert gaps["grants"]["without_notice"] == 70
    assert [one["kind"] for one in gaps["requests"]] == ["access"]
    assert gaps["unsealed_since"] is None
    counts = json.loads((kept.folder / "counts.json").read_text("utf-8"))
    assert counts["records"] == [{"purpose": "ads.share", "state": "given", "records": 70}]
    assert len(json.loads((kept.folder / bundle.KEYS).read_text("utf-8"))) == 2
    proofs = list((kept.folder / "proofs").iterdir())
    assert len(proofs) == len(CATALOGUE) + 1
    vkeys = [signer.vkey for signer in kept.signers]
    assert {check.check(p.read_text("utf-8"), vkeys).entry["type"] for p in proofs} == {
        "purpose", "notice",
    }  # fmt: skip


def test_entries_about_people_are_shown_when_asked_for(kept: Kept, tmp_path: Path) -> None:
    written = kept.write(tmp_path / "all", all_entries=True)
    found = bundle.check(tmp_path / "all")
    assert (found.problems, found.keys_given) == ([], False)
    assert found.shown == found.entries == written["shown"]


def test_any_changed_missing_or_added_file_is_named(folder: Path) -> None:
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    for name in sorted(names):
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        assert not bundle.check(folder).sound, name
        path.unlink()
        assert not bundle.check(folder).sound, name
        path.write_bytes(content)
    assert bundle.check(folder).sound
    (folder / "more.json").write_text("{}", encoding="utf-8")
    assert bundle.check(folder).problems == ["more.json is not in the manifest"]
    (folder / "more.json").unlink()
    (folder / "counts.json").rename(folder.parent / "elsewhere.json")
    (folder / "counts.json").symlink_to(folder.parent / "elsewhere.json")
    assert bundle.check(folder).problems == ["counts.json is missing"]


def swapped(leaves: Path) -> None:
    lines = leaves.read_text("utf-8").splitlines(keepends=True)
    lines[5], lines[6] = lines[6], lines[5]
    leaves.write_text("".join(lines), encoding="utf-8")


def one_less(leaves: Path) -> None:
    leaves.write_text("".join(leaves.read_text("utf-8").splitlines(True)[:-1]), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: swapped(f / bundle.LEAVES), "do not lead to the checkpoint"),
        (lambda f: one_less(f / bundle.LEAVES), "another number was signed"),
        (lambda f: edit(f, bundle.NOTICES, lambda v: v[0].update(body="Other")), "notice banner"),
        (lambda f: edit(f, bundle.NOTICES, lambda v: []), "notice banner"),
        (lambda f: edit(f, bundle.PURPOSES, lambda v: v[3].update(mode="x")), "as the ledger"),
        (lambda f: edit(f, bundle.PURPOSES, lambda v: [*v, {**v[0], "key": "z"}]), "purpose z 1"),
        (lambda f: edit(f, bundle.CHECKPOINTS, lambda v: []), "another number was signed"),
        (lambda f: edit(f, bundle.CHECKPOINTS, lambda v: v[0].update(note="x")), "cannot be read"),
        (lambda f: edit(f, bundle.KEYS, lambda v: {"a": 1}), "cannot be read"),
    ],
)
def test_who_has_the_key_and_signs_anew_is_found_by_the_ledger(
    kept: Kept, folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder)
    signed_anew(folder, kept.signers)
    problems = bundle.check(folder, vkeys=[signer.vkey for signer in kept.signers]).problems
    assert any(said in problem for problem in problems), problems


def test_a_bundle_of_another_key_or_before_a_checkpoint_that_was_kept_is_not_sound(
    kept: Kept, folder: Path
) -> None:
    stranger = Signer(kept.signers[0].origin, b"\1" * 32)
    vkeys = [signer.vkey for signer in kept.signers]
    assert not bundle.check(folder, vkeys=[stranger.vkey]).sound
    signed_anew(folder, [stranger])
    assert not bundle.check(folder, vkeys=vkeys).sound
    signed_anew(folder, kept.signers)
    assert bundle.check(folder, vkeys=vkeys).sound
    point = check.read_checkpoint(kept.first.partition("\n\n")[0] + "\n")
    forged = f"{point.origin}\n{point.size}\n{'A' * 43}=\n"
    signature = "".join(signer.line(forged) for signer in kept.signers)
    other = bundle.check(folder, vkeys=vkeys, external=[f"{forged}\n{signature}"])
    assert any("do not lead" in problem for problem in other.problems)


@pytest.mark.parametrize("line", ["../counts.json", "/etc/passwd", "a//b", "counts.json", ""])
def test_a_manifest_names_only_files_of_its_folder(kept: Kept, folder: Path, line: str) -> None:
    text = (folder / bundle.MANIFEST).read_text("utf-8").partition("\n\n")[0]
    text += f"\n{'0' * 64}  {line}\n"
    signature = "".join(signer.line(text) for signer in kept.signers)
    (folder / bundle.MANIFEST).write_text(f"{text}\n{signature}", encoding="utf-8")
    [problem] = bundle.check(folder).problems
    assert "names no file" in problem


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    assert not bundle.check(tmp_path).sound
    (tmp_path / bundle.MANIFEST).write_bytes(b"\xff\n\n")
    (tmp_path / "ledger").mkdir()
    (tmp_path / bundle.KEYS).write_text("[]", encoding="utf-8")
    assert not bundle.check(tmp_path).sound


def test_by_command_a_bundle_is_written_once_and_checked_without_a_database(
    sessions: Sessions, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(settings.home))
    people(sessions, 3)
    run, folder = CliRunner(), str(tmp_path / "out")
    made = run.invoke(app, ["consent", "audit-bundle", folder])
    assert json.loads(made.output)["entries"] > 3, made.output
    again = run.invoke(app, ["consent", "audit-bundle", folder])
    assert isinstance(again.exception, BundleUnusable)
    # From here on there is no database.
    monkeypatch.setenv("PARCOURS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    good = run.invoke(app, ["consent", "verify-bundle", folder, "--json"])
    assert (good.exit_code, json.loads(good.output)["sound"]) == (0, True)
    (tmp_path / "out" / "counts.json").write_text("{}", encoding="utf-8")
    bad = run.invoke(app, ["consent", "verify-bundle", folder])
    assert bad.exit_code == 1
    assert "counts.json was changed" in bad.output
    empty = tmp_path / "kept.txt"
    empty.write_text("nothing", encoding="utf-8")
    refused = run.invoke(app, ["consent", "verify-bundle", folder, "--from-checkpoint", str(empty)])
    assert refused.exit_code != 0


@pytest.mark.parametrize("name", [bundle.KEYS, bundle.CHECKPOINTS, bundle.PURPOSES, bundle.ENTRIES])
@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'[{"vkey": "\\ud800+aa+bb"}]', b"[[]]", b'{"vkey": []}', b"1", b""]
)
def test_whatever_somebody_signs_is_no_error_of_who_checks_it(
    folder: Path, kept: Kept, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    assert not bundle.check(folder).sound
    signed_anew(folder, kept.signers)
    assert not bundle.check(folder, vkeys=[signer.vkey for signer in kept.signers]).sound


def test_a_manifest_of_one_line_and_a_file_that_is_none_are_problems(
    folder: Path, kept: Kept
) -> None:
    text = f"{bundle.HEADER}\n"
    signed = text + "\n" + "".join(signer.line(text) for signer in kept.signers)
    before = (folder / bundle.MANIFEST).read_text("utf-8")
    (folder / bundle.MANIFEST).write_text(signed, encoding="utf-8")
    assert not bundle.check(folder).sound
    (folder / bundle.MANIFEST).write_text(before, encoding="utf-8")
    (folder / "counts.json").unlink()
    os.mkfifo(folder / "counts.json")  # whoever read it would wait for ever
    assert bundle.check(folder).problems == ["counts.json is missing"]
    (folder / os.fsdecode(b"\xff.json")).write_bytes(b"{}")
    for problem in bundle.check(folder).problems:
        problem.encode()
