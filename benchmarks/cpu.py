"""CPU time of processes as the kernel counts it, in nanoseconds."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session


def of_tree(pid: int) -> int:
    """Return what a process and its living descendants have used since they began."""
    return sum(_of(p) for p in _tree(pid))


def of_backends(session: Session) -> int:
    """Return what the PostgreSQL backends that serve clients have used, this one included."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    return sum(_of(pid) for pid in session.scalars(sa.text(query)))


def of_backend(pid: int) -> int:
    """Return what one PostgreSQL backend, a process of one thread, has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _of(pid: int) -> int:
    """Sum over the threads: a process's own file counts its main thread alone."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[0])
        except FileNotFoundError:
            continue
    return total


def _tree(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found
