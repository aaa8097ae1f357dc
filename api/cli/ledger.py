"""`parcours ledger …`: seal, examine, prove and check what the ledger of consent says."""

import sys
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.progress import Progress

from api.cli import sends
from api.cli.options import AlwaysJson
from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app.db import snapshot
from app.destinations import evidence, manifest
from app.ledger import seal
from app.ledger.anchor import Anchor, notes
from app.ledger.job import LedgerJob
from app.ledger.keystore import Keystore
from app.privacy import journal, suppressed
from consent import ledger as consent_ledger
from consent.ledger import check_send, store
from consent.ledger.check import read_file

ledger = typer.Typer(help="The ledger of consent, and proofs from it.", no_args_is_help=True)
ledger.command("sends")(sends.sends)
ledger.command("prove-send")(sends.prove_send)

VKeys = Annotated[
    list[str] | None, typer.Option("--vkey", help="A public key of the log; may be repeated.")
]


@ledger.command()
def verify(
    full: Annotated[bool, typer.Option("--full", help="Read every entry and record.")] = False,
    from_checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--from-checkpoint", help="A file with checkpoints that you kept."),
    ] = None,
    vkey: VKeys = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Examine the ledger; status 1 and the first bad entry when anything is wrong.

    The checkpoints of this log in the anchor directory are always held against it, the last one
    that the keystore signed and those of --from-checkpoint too. Without --vkey the keys that the
    database names are believed; the newest checkpoint has to be signed by one of the keystore in
    any case.
    """
    configuration = settings(data_dir)
    given = [note for path in from_checkpoint or () for note in _given(path)]
    keystore = Keystore(configuration)
    signed = keystore.last_notes() if keystore.exists else {}  # before what is looked at
    with opened(configuration) as sessions, closing(keystore), snapshot(sessions) as session:
        origin = store.head(session).note.partition("\n")[0]
        last = [signed[origin]] if origin in signed else []
        anchored = Anchor(configuration.anchor_dir).read(origin)
        with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("entries", total=store.head(session).size)
            report = consent_ledger.verify(
                session,
                external=dict.fromkeys([*anchored, *last, *given]),
                trusted=vkey or (),
                own=keystore.vkeys() if keystore.exists else (),
                full=full,
                keys=keystore.by_ids if full and keystore.exists else None,
                progress=lambda done: bar.update(task, completed=done),
            )
        for what in evidence.tampered(session) if full else ():
            report.wrong(None, what)
        if full:
            for what in suppressed.differing(session, journal.read(configuration.journal)):
                report.wrong(None, what)
    answer = {"sound": report.sound, "first_bad": report.first_bad, **asdict(report)}
    if as_json:
        show(answer, as_json)
    else:
        show([answer], False, "sound", "first_bad", "size", "entries", "checkpoints", "external",
             "compared")  # fmt: skip
        for problem in report.problems:
            err.print(problem.what, markup=False, highlight=False, soft_wrap=True)
    if not report.sound:
        raise typer.Exit(1)


def _given(path: Path) -> list[str]:
    found = notes(read_file(path))
    if not found:
        raise typer.BadParameter(f"{path} holds no checkpoint")
    return found


@ledger.command()
def prove(
    record: Annotated[UUID, typer.Argument(help="The id of a consent record or a statement.")],
    body: Annotated[
        Path | None,
        typer.Option(help="Write the readable record there too. It is personal data."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Print the proof that a record is in the ledger (C2SP tlog-proof@v1); no personal data."""
    configuration = settings(data_dir)
    keystore = Keystore(configuration)
    with opened(configuration) as sessions, closing(keystore), sessions() as session:
        index = store.index_of(session, record)
        proof = store.prove(session, index)
        opening = consent_ledger.opening(session, keystore, index) if body is not None else None
    sys.stdout.write(proof.write())
    if body is not None:
        if opening is None:
            err.print("nothing readable is left of this entry", highlight=False)
            raise typer.Exit(1)
        body.write_text(opening, encoding="utf-8")


@ledger.command()
def check(
    file: Annotated[Path, typer.Argument(help="A .tlog-proof file, or what `prove-send` printed.")],
    vkey: Annotated[list[str], typer.Option("--vkey", help="A public key of the log.")],
    body: Annotated[
        Path | None, typer.Option(help="The readable record, to compare with the entry.")
    ] = None,
) -> None:
    """Check a proof without database or network; status 1 when it does not hold.

    The same as `python consent/ledger/check_send.py`, which can be copied anywhere with the
    `check.py` beside it; of anything but sends that one is enough.
    """
    arguments = [str(file), *(f"--vkey={key}" for key in vkey)]
    raise typer.Exit(check_send.main([*arguments, *([f"--body={body}"] if body else [])]))


@ledger.command()
def checkpoints(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what was signed, the newest first; --json has the signed notes and the public keys."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows: list[dict[str, Any]] = [
            {"size": c.size, "root": c.root.hex(), "created_at": c.created_at, "note": c.note}
            for c in store.checkpoints(session, limit=limit)
        ]
        vkeys = store.vkeys(session)
    if as_json:
        show({"vkeys": vkeys, "checkpoints": rows}, as_json)
    else:
        show(rows, as_json, "size", "root", "created_at")
        for vkey in vkeys:
            sys.stdout.write(f"vkey {vkey}\n")


@ledger.command("seal")
def seal_now(data_dir: DataDir = None, as_json: AlwaysJson = True) -> None:
    """Seal now what waits; the worker does so by itself."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        job = LedgerJob(sessions, configuration)
        with closing(job.keystore):
            manifest.close(sessions)
            show({"entries": job.round()}, as_json=True)


@ledger.command("rotate-key")
def rotate_key(
    overlap_days: Annotated[
        int, typer.Option(min=0, max=3_650, help="Days for which the old key signs too.")
    ] = 30,
    new_log: Annotated[
        bool,
        typer.Option("--new-log", help="After a loss: begin a log that follows no earlier one."),
    ] = False,
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Sign with a new key from now on; both sign for a while. Prints the new public key."""
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        job = LedgerJob(sessions, configuration)
        with closing(job.keystore), sessions.begin() as session:
            overlap = timedelta(days=overlap_days)
            vkey = seal.rotate(
                session, job.keystore, host=job.host, overlap=overlap, new_log=new_log
            )
    show({"vkey": vkey}, as_json=True)
