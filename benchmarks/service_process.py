"""The service as an operator runs it, in a process of its own, for the benchmarks of its faults."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_SECONDS = 600.0
_NPL = "from cli.main import main; main()"


@dataclass
class Processes:
    """Starts `npl` commands on one set of settings, and ends those still running.

    Attributes
    ----------
    settings : dict
        Environment variables `NPL_...`.
    log : Path
        Where all of them write what they have to say.
    """

    settings: dict[str, str]
    log: Path
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start `npl` with arguments."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _NPL, *arguments],
                env=os.environ | self.settings,
                stdout=log,
                stderr=log,
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Tell what still runs to end, and wait for it."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
        for process in self.started:
            process.wait(START_SECONDS)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process as a loss of power would."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(address: str) -> None:
    """Wait for a service that has been started."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(f"{address}/readyz", timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > until:
            raise RuntimeError(f"{address} did not become ready")
        time.sleep(0.05)


def memory_mb(pid: int) -> float:
    """Resident memory of a process now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def watched_memory(pid: int) -> Iterator[list[float]]:
    """Resident memory of a process, twenty times a second, in MB."""
    seen: list[float] = []
    end = threading.Event()

    def look() -> None:
        while not end.wait(0.05):
            seen.append(memory_mb(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()
