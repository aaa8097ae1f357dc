"""The worker process: the background jobs, and the only process that loads Splink.

Splink costs 1.1 s and 114 MB to import, so it has no place in a process that answers requests or
in a command that adds a source: `parcours worker` becomes this program.
"""

import argparse
import gc
import os
import signal
import threading
import time

from api.cli import holding
from api.cli.session import opened
from app import logs
from app.jobs import Worker
from app.postgres import database
from app.settings import Settings
from identity import sweeps


def main() -> None:
    """Work until SIGTERM, or until the server that started us (`--parent`) is gone."""
    gc.freeze()  # what is there from the start stays
    arguments = argparse.ArgumentParser(prog="parcours worker")
    arguments.add_argument("--parent", type=int)
    parent = arguments.parse_args().parent
    configuration = Settings()
    logs.configure(configuration.log_level)
    with opened(configuration) as sessions, database(configuration) as url:
        with sessions.begin() as session:
            sweeps.request_spelling(session)
        worker = Worker(sessions, configuration, url)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        if parent is None:
            holding.warn(sessions, configuration)
        else:
            threading.Thread(target=_watch, args=(parent, worker), daemon=True).start()
        worker.run()


def _watch(parent: int, worker: Worker) -> None:
    """Stop when the server is gone, however it went: a `kill -9` of it ends us too."""
    while os.getppid() == parent:
        time.sleep(0.5)
    worker.stop()


if __name__ == "__main__":
    main()
