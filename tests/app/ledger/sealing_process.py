"""A sealer as a process of its own, to be killed: seals in small steps until it is."""

import time
from multiprocessing.connection import Connection
from pathlib import Path

from app import db
from app.ledger import seal
from app.ledger.anchor import publish
from app.ledger.job import LedgerJob
from app.settings import Settings


def seal_on(url: str, home: str, most: int, begun: Connection) -> None:
    """Seal for ever; say so once the first step is done."""
    settings = Settings(database_url=url, data_dir=Path(home), public_url="https://shop.example")
    sessions = db.sessions(db.engine(url))
    job = LedgerJob(sessions, settings)
    steps = iter([False])
    seal.run(
        sessions, job.keystore, job.anchor, host=job.host, most=most, stop=lambda: next(steps, True)
    )
    begun.send("begun")
    while True:
        seal.run(sessions, job.keystore, job.anchor, host=job.host, most=most)
        publish(sessions, job.anchor, job.keystore.vkeys())
        time.sleep(0.001)
