"""A PostgreSQL for tests: the one that DATABASE_URL names, or a server of their own."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from aioproducer.testing.java_cluster import free_ports
from aioproducer.testing.supervision import Supervisor, tail

NAMED = "DATABASE_URL"
DEBIAN = Path("/usr/lib/postgresql")
# PostgreSQL refuses to run as root.
_UNPRIVILEGED = ("postgres", "nobody")


class PostgresMissingError(Exception):
    """No PostgreSQL can be had here; the message says what is missing."""


@contextmanager
def a_server() -> Iterator[str]:
    """Give the URL of a server; ends it afterwards if it was started for this.

    Raises :exc:`PostgresMissingError`.
    """
    named = os.environ.get(NAMED)
    if named:
        yield named
        return
    programs = _programs()
    supervisor = Supervisor()
    try:
        yield _start(supervisor, programs)
    finally:
        supervisor.close()


def _programs() -> Path:
    """Return where Debian, or the path, has initdb and postgres."""
    places = sorted(DEBIAN.glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    if on_path is not None:
        places.insert(0, Path(on_path).parent)
    for place in places:
        if (place / "initdb").is_file() and (place / "postgres").is_file():
            return place
    raise PostgresMissingError(
        f"{NAMED} is not set, and initdb and postgres are neither on the path nor in"
        f" {DEBIAN}/*/bin (Debian's package postgresql)"
    )


def _as_whom() -> tuple[list[str], str | None]:
    """Return what a command is prefixed with, and the user it then runs as."""
    if os.geteuid() != 0:
        return [], None
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PostgresMissingError("PostgreSQL does not run as root, and setpriv is not there")
    for user in _UNPRIVILEGED:
        try:
            group = pwd.getpwnam(user).pw_gid
        except KeyError:
            continue
        return [setpriv, f"--reuid={user}", f"--regid={group}", "--clear-groups"], user
    raise PostgresMissingError("PostgreSQL does not run as root, and no other user is there")


def _start(supervisor: Supervisor, programs: Path) -> str:
    prefix, user = _as_whom()
    place = supervisor.directory / "postgres"
    place.mkdir()
    if user is not None:
        supervisor.directory.chmod(0o711)
        shutil.chown(place, user)
    data = place / "data"
    made = subprocess.run(
        [*prefix, programs / "initdb", "--pgdata", data, "--auth=trust", "--username=tests",
         "--no-sync", "--encoding=UTF8", "--locale=C"],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise AssertionError(f"initdb failed:\n{made.stdout}{made.stderr}")
    (port,) = free_ports(1)
    log = supervisor.directory / "postgres.log"
    server = supervisor.spawn(
        [*prefix, programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port),
         "-c", "unix_socket_directories=", "-c", "fsync=off"],
        log, cwd=place,
    )  # fmt: skip
    url = f"postgresql://tests@127.0.0.1:{port}/postgres"
    for _ in range(2400):
        if server.poll() is not None:
            break
        try:
            asyncio.run(_query(url, "SELECT 1"))
        except (OSError, asyncpg.PostgresError):
            time.sleep(0.1)
        else:
            return url
    raise AssertionError(f"PostgreSQL did not come up:\n{tail(log)}")


@contextmanager
def a_database(server: str) -> Iterator[str]:
    """Give the URL of an empty database of its own, which is dropped afterwards."""
    name = f"aioproducer_{uuid.uuid4().hex[:12]}"
    asyncio.run(_query(server, f"CREATE DATABASE {name}"))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        asyncio.run(_query(server, f"DROP DATABASE {name} WITH (FORCE)"))


async def _query(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
