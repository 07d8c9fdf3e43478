"""Load on the service beside bare kernel calls and MLflow: `python -m benchmarks.service_load`.

One run writes docs/service.md. The server has one core, the client the other; one OpenMP thread.
The bare calls are what the service's answer cannot do without: LightGBM's predictions, and for
reasons the tree and linear contributions, on a feature matrix that is ready.
"""

import http.client
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.service_model import small_model
from features.pipeline import build_features
from features.sources.result import no_ledger
from models.bundle import Bundle, read_bundle
from models.trees import tree_matrix
from service.keys import create_key
from service.settings import Settings
from service.storage import open_database

PAGE = Path(__file__).parents[1] / "docs" / "service.md"
SECONDS = 3.0
SERVER_CORE, CLIENT_CORE = 0, 1
# Sessions of the servers started, the present one last.
SESSION: list[int] = []


@dataclass(frozen=True)
class Load:
    """What one load brought."""

    name: str
    connections: int
    p50_ms: float
    p99_ms: float
    loans_per_second: float
    cpu_ms: float


def main() -> None:
    """Measure, and write the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle_folder, tape = small_model(folder)
        texts = tape.with_columns(pl.col(pl.Date).cast(pl.String)).to_dicts()
        loans = [{n: v for n, v in row.items() if v is not None} for row in texts]
        bare = bare_calls(read_bundle(bundle_folder), tape)
        found = service_loads(folder, bundle_folder, loans)
        beside = mlflow_loads(folder, bundle_folder, loans)
        PAGE.write_text(page(bare, found, beside), encoding="utf-8")


def bare_calls(bundle: Bundle, tape: pl.DataFrame) -> dict[str, float]:
    """Milliseconds of the calls on a ready matrix, by what they do."""
    os.sched_setaffinity(0, {SERVER_CORE})
    model = bundle.model
    found = {}
    for loans in (1, 1_000):
        some = build_features(tape.head(loans).lazy(), no_ledger().lazy(), model.spec).collect()
        matrix = tree_matrix(some, model.spec.names)
        calls: dict[str, Callable[[], object]] = {
            "LightGBM predict": partial(model.trees.score, matrix),
            "reasons: trees": partial(model.trees.contributions, matrix),
            "reasons: whole model": partial(model.contributions, some),
        }
        for name, call in calls.items():
            call()
            times = []
            for _ in range(30):
                started = time.perf_counter()
                call()
                times.append(1e3 * (time.perf_counter() - started))
            found[f"{name}, {loans:,} loans"] = float(np.median(times))
    return found


def service_loads(folder: Path, bundle: Path, loans: list[dict[str, Any]]) -> list[Load]:
    settings = Settings(model=str(bundle), data_folder=folder / "data", workers_in_process=0)
    key = create_key(open_database(settings), "load", "valuer", 10_000_000)[1]
    port = free_port()
    code = (
        "from service.server import serve; from service.settings import Settings;"
        f"serve(Settings(model={str(bundle)!r}, data_folder={str(folder / 'data')!r},"
        f" port={port}, workers_in_process=0))"
    )
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    found = []
    with server([sys.executable, "-c", code], port, "/readyz"):
        for size in (1, 1_000):
            for reasons in (False, True):
                body = json.dumps({"loans": loans[:size], "reasons": reasons}).encode()
                what = f"{size:,} loan{'s' if size > 1 else ''}{', reasons' if reasons else ''}"
                for connections in (1, 8):
                    found.append(
                        load(f"service: {what}", port, "/v1/recoveries", body, headers,
                             connections, size)
                    )  # fmt: skip
    return found


def mlflow_loads(folder: Path, bundle: Path, loans: list[dict[str, Any]]) -> list[Load]:
    from mlflow import MlflowClient  # noqa: PLC0415

    from models.mlflow_store import Store  # noqa: PLC0415
    from models.registry import register  # noqa: PLC0415

    store = Store.in_folder(folder / "mlruns")
    store.prepare()
    client = MlflowClient(store.uri, store.uri)
    experiment = client.create_experiment("load", artifact_location=store.artifacts_uri)
    registered = register(store, bundle, client.create_run(experiment).info.run_id)
    port = free_port()
    os.environ["MLFLOW_TRACKING_URI"] = store.uri
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", str(registered.reference),
        "--env-manager", "local", "-p", str(port), "-w", "1",
    ]  # fmt: skip
    headers = {"Content-Type": "application/json"}
    found = []
    with server(command, port, "/ping"):
        for size in (1, 1_000):
            body = json.dumps({"dataframe_records": loans[:size]}).encode()
            what = f"MLflow: {size:,} loan{'s' if size > 1 else ''}"
            found += [
                load(what, port, "/invocations", body, headers, connections, size)
                for connections in (1, 8)
            ]
    return found


def load(
    name: str, port: int, path: str, body: bytes, headers: dict[str, str], connections: int,
    loans: int,
) -> Load:  # fmt: skip
    """Ask for some seconds over some connections."""
    times: list[float] = []

    def ask(until: float, kept: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while time.perf_counter() < until:
            started = time.perf_counter()
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status == 200, told[:500]
            kept.append(time.perf_counter() - started)

    ask(time.perf_counter() + SECONDS / 4, [])
    started, spent = time.perf_counter(), processor_seconds()
    threads = [
        threading.Thread(target=ask, args=(started + SECONDS, times)) for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed, spent = time.perf_counter() - started, processor_seconds() - spent
    p50, p99 = (float(ms) for ms in np.quantile(times, [0.5, 0.99]) * 1e3)
    found = Load(
        name, connections, p50, p99, loans * len(times) / elapsed, 1e3 * spent / len(times)
    )
    print(found, flush=True)
    return found


def processor_seconds() -> float:
    """Processor time that the server and its children have taken."""
    ticks = 0
    for about in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = about.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == SESSION[-1]:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(command: list[str], port: int, ready: str) -> Iterator[None]:
    """Run a server on its own core until the block ends."""
    nothing = subprocess.DEVNULL
    running = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), *command],
        stdout=nothing,
        stderr=nothing,
        # MLflow looks for uvicorn on the path.
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        start_new_session=True,
    )
    SESSION.append(running.pid)
    os.sched_setaffinity(0, {CLIENT_CORE})
    try:
        for _ in range(600):
            assert running.poll() is None, f"{command} ended"
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", ready)
                if connection.getresponse().status == 200:
                    break
            except OSError:
                time.sleep(0.2)
        yield
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGTERM)
        running.wait()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def page(bare: dict[str, float], found: list[Load], beside: list[Load]) -> str:
    """The page."""
    rows = "\n".join(
        f"| {one.name} | {one.connections} | {one.p50_ms:.1f} | {one.p99_ms:.1f} |"
        f" {one.loans_per_second:,.0f} | {one.cpu_ms:.1f} |"
        for one in (*found, *beside)
    )
    calls = "\n".join(f"| {name} | {ms:.2f} |" for name, ms in bare.items())
    loads = {(one.name, one.connections): one for one in (*found, *beside)}
    ours, theirs = "service: 1 loan, reasons", "MLflow: 1 loan"
    times = [loads[ours, n].loans_per_second / loads[theirs, n].loans_per_second for n in (1, 8)]
    many = loads["service: 1,000 loans, reasons", 1].p50_ms
    calls_alone = bare["LightGBM predict, 1,000 loans"] + bare["reasons: whole model, 1,000 loans"]
    busy = os.getloadavg()[0]
    return f"""# The service under load

Written by `python -m benchmarks.service_load`: one run, server on one core, client on the other of
{os.cpu_count()} ({platform.machine()}), one OpenMP thread, SQLite with full synchronisation, every
answer on record before it is given. The machine's load average was {busy:.1f} at the end: above 2,
other programs shared the two cores, and times are too long by as much. A model of 6,000 simulated
loans, fixed settings.

| asked | connections | p50, ms | p99, ms | loans/s | server's processor time a request, ms |
|---|---:|---:|---:|---:|---:|
{rows}

The bare calls, on a feature matrix that is ready:

| call | median, ms |
|---|---:|
{calls}

One loan with reasons is answered {times[0]:.1f} times as often as MLflow answers one without,
over one connection, and {times[1]:.1f} times over eight. 1,000 loans with reasons take
{many / calls_alone:.1f} times as long as the bare calls on them: the rest is reading 1,000 loans,
checking them, making their features, writing 1,000 answers and putting them on record.

MLflow (`mlflow models serve`, one worker) runs the same bundle through the same check and the same
scoring path, gives no reasons, and keeps no record.
"""


if __name__ == "__main__":
    main()
