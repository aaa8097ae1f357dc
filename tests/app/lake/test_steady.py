"""While events come without a pause, copying them ends all the same: who asks waits for nobody."""

import threading
import time
from pathlib import Path

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.db import Sessions
from app.lake import copy

EVENT = """
INSERT INTO app.event (source_id, message_id, type, name, identifier_id, identifier_ids,
    occurred_at, received_at, refused, properties, context, part)
VALUES (1, gen_random_uuid(), 'track', 'E', 1, ARRAY[1], now(), now(), '{}', '{}', '{}', 1)
"""


def test_copying_ends_while_events_come(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    enough, stored = threading.Event(), 0

    def come() -> None:
        nonlocal stored
        with sessions() as session:
            while not enough.is_set():
                session.execute(sa.text(EVENT))
                session.commit()
                stored += 1

    writer = threading.Thread(target=come)
    writer.start()
    stop = threading.Timer(60, enough.set)
    stop.start()
    try:
        while stored < 50:
            time.sleep(0.01)
        began = time.monotonic()
        copied = copy.copy_new(sessions, tmp_path)
        took = time.monotonic() - began
        came = not enough.is_set()
    finally:
        enough.set()
        writer.join()
        stop.cancel()
    assert came, f"copying took {took:.1f} s, until no event came any more"
    with sessions() as session:
        assert copied >= 50
        assert len(copy.parts(session, tmp_path)) == 1
