"""A sealer as a process of its own, to be killed: seals in small steps until it is."""

import sys
import time
from pathlib import Path

from app import db
from app.ledger import seal
from app.ledger.anchor import publish
from app.ledger.job import LedgerJob
from app.settings import Settings


class Once:
    """Lets one step happen."""

    def __init__(self) -> None:
        self._asked = 0

    def __call__(self) -> bool:
        self._asked += 1
        return self._asked > 1


if __name__ == "__main__":
    url, home, most = sys.argv[1:]
    settings = Settings(database_url=url, data_dir=Path(home), public_url="https://shop.example")
    sessions = db.sessions(db.engine(url))
    job = LedgerJob(sessions, settings)
    seal.run(sessions, job.keystore, job.anchor, host=job.host, most=int(most), stop=Once())
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while True:
        seal.run(sessions, job.keystore, job.anchor, host=job.host, most=int(most))
        publish(sessions, job.anchor)
        time.sleep(0.001)
