"""A proof holds by itself, anywhere, and no byte of it can be changed."""

import base64
import json
import os
import secrets
import subprocess
import sys
import venv
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from consent.ledger import check, check_send
from consent.ledger.check import Proof, ProofInvalid, leaf_hash, open_checkpoint, open_note
from consent.ledger.entry import entry
from consent.ledger.note import Signer, checkpoint
from consent.ledger.sealing import SubjectKey
from consent.ledger.tree import Running, Tree

NOW = datetime(2026, 11, 28, 9, 30, 59, tzinfo=UTC)
#: The vector of C2SP signed-note (golang.org/x/mod/sumdb/note, BSD-3-Clause).
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONnc"
    "AlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
#: That of C2SP tlog-checkpoint: well-formed, by a key that is not published.
CHECKPOINT = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""


def proof(key: SubjectKey, signers: list[Signer], body: bytes = b'{"value":"ada"}') -> Proof:
    """A proof of the third of four entries."""
    entries = [
        entry("consent", n, NOW, {"state": "given"}, key=key, subject=True, body=body)
        for n in range(4)
    ]
    tree = Tree(4, lambda _, first, count: [leaf_hash(e) for e in entries][first : first + count])
    note = checkpoint(signers, 4, tree.root())
    return Proof(entries[2], 2, tuple(tree.inclusion_proof(2, 4)), note)


@pytest.fixture
def key() -> SubjectKey:
    return SubjectKey(secrets.token_bytes(32))


@pytest.fixture
def signer() -> Signer:
    return Signer("shop.example/ledger/1", secrets.token_bytes(32))


def test_e59_the_note_vector_of_c2sp_verifies_and_no_changed_one_does() -> None:
    assert open_note(NOTE, [VKEY]) == "This is an example message.\n"
    for place in range(len(NOTE)):
        changed = NOTE[:place] + chr(ord(NOTE[place]) ^ 1) + NOTE[place + 1 :]
        with pytest.raises(ProofInvalid):
            open_note(changed, [VKEY])
    other = Signer("example.com/foo", secrets.token_bytes(32))
    with pytest.raises(ProofInvalid, match="no known key"):
        open_note(NOTE, [other.vkey])


def test_the_checkpoint_of_c2sp_is_read_and_others_are_not() -> None:
    found = check.read_checkpoint(CHECKPOINT)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20_852_163)
    for wrong in (
        CHECKPOINT.replace("20852163", "020852163"), CHECKPOINT.replace("20852163", "2³"),
        CHECKPOINT.replace("2I=", "2J="), CHECKPOINT + "\n", "a\n1\n", CHECKPOINT[:-1],
        CHECKPOINT.replace("20852163", "-1"), "",
    ):  # fmt: skip
        with pytest.raises(ProofInvalid):
            check.read_checkpoint(wrong)


def test_a_checkpoint_counts_only_under_a_key_of_its_own_log(signer: Signer) -> None:
    witness = Signer("witness.example", secrets.token_bytes(32))
    note = checkpoint([signer], 1, b"r" * 32)
    text = note.partition("\n\n")[0] + "\n"
    assert open_checkpoint(note + witness.line(text), [signer.vkey]).size == 1
    with pytest.raises(ProofInvalid):
        open_checkpoint(text + "\n" + witness.line(text), [witness.vkey])


def test_e58_a_proof_says_what_it_proves_and_one_flipped_bit_anywhere_ends_it(
    key: SubjectKey, signer: Signer
) -> None:
    text = proof(key, [signer]).write()
    assert text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    found = check.check(text, [signer.vkey])
    assert (found.index, found.entry["state"], found.checkpoint.size) == (2, "given", 4)
    raw, survived = text.encode(), []
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            try:
                check.check(changed.decode(), [signer.vkey])
            except ValueError:  # ProofInvalid, and what is no UTF-8
                continue
            survived.append((place, bit))
    assert survived == []


def test_a_proof_cut_short_or_of_something_else_is_no_proof(
    key: SubjectKey, signer: Signer
) -> None:
    text = proof(key, [signer]).write()
    for wrong in (
        "", "\n", text[: len(text) // 2], text.replace("index 2", "index 3"), text + "\n", "x" * 10,
        text.replace("index 2", "index 2\nindex 2"), text.replace("\nextra", "\nother"),
    ):  # fmt: skip
        with pytest.raises(ProofInvalid):
            check.check(wrong, [signer.vkey])
    for vkey in ("", "a+b", "shop.example/ledger/1+00000000+AAAA", signer.vkey[:-4] + "AAA="):
        with pytest.raises(ProofInvalid):
            check.check(text, [vkey])


def test_e65_for_one_period_both_keys_sign_and_a_proof_verifies_with_either(
    key: SubjectKey, signer: Signer
) -> None:
    after = Signer(signer.origin, secrets.token_bytes(32))
    before, both = proof(key, [signer]).write(), proof(key, [after, signer]).write()
    for text, vkeys in (
        (before, [signer.vkey]), (both, [signer.vkey]), (both, [after.vkey]),
        (before, [after.vkey, signer.vkey]), (both, [after.vkey, signer.vkey]),
    ):  # fmt: skip
        assert check.check(text, vkeys).index == 2
    with pytest.raises(ProofInvalid):
        check.check(before, [after.vkey])


def test_a_commitment_opens_to_its_own_record_alone(key: SubjectKey, signer: Signer) -> None:
    said = check.check(proof(key, [signer]).write(), [signer.vkey]).entry
    opening = {"body": '{"value":"ada"}', "key": base64.b64encode(key.opening(2)).decode()}
    assert check.check_body(said, json.dumps(opening)) == {"value": "ada"}
    for wrong in (
        {**opening, "body": '{"value":"bob"}'},
        {**opening, "key": base64.b64encode(key.opening(1)).decode()},
    ):
        with pytest.raises(ProofInvalid):
            check.check_body(said, json.dumps(wrong))


@pytest.mark.parametrize(
    ("recorded", "told"),
    [("2026-11-27T09:31:00+00:00", False), ("2026-09-29T09:30:00+00:00", True)],
)
def test_it_is_said_when_a_record_was_logged_long_after_the_time_it_states(
    key: SubjectKey, signer: Signer, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    recorded: str, told: bool,
) -> None:  # fmt: skip
    body = json.dumps({"recorded_at": recorded})
    (tmp_path / "r").write_text(proof(key, [signer], body.encode()).write())
    opening = {"body": body, "key": base64.b64encode(key.opening(2)).decode()}
    (tmp_path / "body").write_text(json.dumps(opening))
    files = [str(tmp_path / "r"), "--body", str(tmp_path / "body")]
    assert check.main([*files, "--vkey", signer.vkey]) == 0
    assert ("logged 60 days after the time" in capsys.readouterr().out) == told


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python with nothing but `cryptography`, and the two files, as somebody would copy them."""
    home = tmp_path_factory.mktemp("laptop")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    [packages] = (home / "venv" / "lib").glob("python*/site-packages")
    for name in ("cryptography", "cffi", "_cffi_backend"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        there = origin.parent if origin.name == "__init__.py" else origin
        (packages / there.name).symlink_to(there)
    for name in ("check.py", "check_send.py"):
        (home / name).write_bytes(Path(check.__file__).with_name(name).read_bytes())
    #: Ends the process at the first attempt to reach a network or a database.
    (packages / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(name, _):\n"
        "    if name.startswith(('socket.', 'sqlite3.')):\n"
        "        raise SystemExit('reached out: ' + name)\n"
        "sys.addaudithook(hook)\n"
    )
    return home


def on_the_laptop(
    laptop: Path, *arguments: object, file: str = "check.py"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [laptop / "venv" / "bin" / "python", file, *map(str, arguments)],
        cwd=laptop,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
    )


def test_proofs_of_sends_are_checked_there_too_with_a_second_file(
    laptop: Path, key: SubjectKey, signer: Signer
) -> None:
    (laptop / "r2.tlog-proof").write_text(proof(key, [signer]).write(), encoding="utf-8")
    asked = ("r2.tlog-proof", "--vkey", signer.vkey)
    entry = on_the_laptop(laptop, *asked, file="check_send.py")
    assert (entry.returncode, "proved: entry 2 of 4" in entry.stdout) == (0, True), entry.stderr
    (laptop / "send.json").write_text(json.dumps({"format": check_send.SEND}))
    for text in (json.dumps({"format": check_send.SEND}), "{", "{" * 100_000):
        (laptop / "send.json").write_text(text)
        done = on_the_laptop(laptop, "send.json", "--vkey", signer.vkey, file="check_send.py")
        assert done.returncode == 1
        assert done.stderr.startswith("NOT proved: ")


def test_e58_it_is_checked_on_a_laptop_without_database_network_or_product(
    laptop: Path, key: SubjectKey, signer: Signer
) -> None:
    (laptop / "r.tlog-proof").write_text(proof(key, [signer]).write(), encoding="utf-8")
    body = {"body": '{"value":"ada"}', "key": base64.b64encode(key.opening(2)).decode()}
    (laptop / "r.json").write_text(json.dumps(body))
    done = on_the_laptop(laptop, "r.tlog-proof", "--vkey", signer.vkey, "--body", "r.json")
    assert done.returncode == 0, done.stderr
    assert "proved: entry 2 of 4 in shop.example/ledger/1" in done.stdout
    assert '"value": "ada"' in done.stdout
    raw = bytearray((laptop / "r.tlog-proof").read_bytes())
    raw[60] ^= 1
    (laptop / "r.tlog-proof").write_bytes(raw)
    done = on_the_laptop(laptop, "r.tlog-proof", "--vkey", signer.vkey)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("NOT proved")
    for missing in ("nowhere", laptop):
        assert on_the_laptop(laptop, missing, "--vkey", signer.vkey).returncode == 1
    probe = "import consent"
    product = subprocess.run([laptop / "venv" / "bin" / "python", "-c", probe], cwd=laptop)
    assert product.returncode != 0
    assert sys.executable != str(laptop)


def test_without_the_key_entries_of_one_person_have_nothing_in_common(key: SubjectKey) -> None:
    def said(index: int, key: SubjectKey) -> dict[str, str]:
        found: dict[str, str] = json.loads(
            entry("consent", index, NOW, {}, key=key, subject=True, body=b"same")
        )
        return found

    one, two, other = said(1, key), said(2, key), said(1, SubjectKey(b"o" * 32))
    values = [e[name] for e in (one, two, other) for name in ("subject", "body")]
    assert len(set(values)) == 6
    assert said(1, key) == one
    assert one["logged"] == "2026-11-28T09:30Z"


def test_what_is_sealed_opens_with_its_entry_and_key_alone(key: SubjectKey) -> None:
    sealed = key.seal(b"ada", b"entry")
    assert key.open(sealed, b"entry") == b"ada"
    assert sealed != key.seal(b"ada", b"entry")
    assert key.open(sealed, b"other") is None
    assert SubjectKey(b"o" * 32).open(sealed, b"entry") is None
    for place in range(len(sealed)):
        assert (
            key.open(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :], b"entry")
            is None
        )
    assert key.open(b"", b"entry") is None
    with pytest.raises(ValueError, match="32 bytes"):
        SubjectKey(b"short")
    assert Running().root() == Tree(0, lambda *_: ()).root()
