"""A million loans through the service: `python -m benchmarks.service_million [LOANS]`.

One Parquet upload to `npl serve` with its worker inside; its memory is watched at every step. The
first, middle and last 50,000 rows of the result are held to the scoring path of `npl score`.
"""

import sys
import tempfile
import time
from pathlib import Path

import httpx
import polars as pl

from benchmarks.service_model import small_model
from benchmarks.service_process import Processes, free_port, wait_until_ready, watched_memory
from features.sources.simulated import simulate
from models.bundle import Bundle, read_bundle
from models.request import check_bare_tape
from models.scoring import score_loans
from service.keys import create_key
from service.settings import Settings
from service.storage import open_database

_COMPARED = 50_000
PARQUET = "application/vnd.apache.parquet"
_STEPS = {
    "Parquet": "result?format=parquet",
    "CSV": "result?format=csv",
    "JSON": "result?format=json",
    "summary": "summary",
    "page": "page",
    "XLSX": "result?format=xlsx",
}


def main(loans: int) -> None:
    """Send, wait, fetch, and tell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, _ = small_model(folder)
        tape = folder / "tape.parquet"
        simulate(folder / "large", loans, 11)
        source = pl.scan_parquet(folder / "large" / "tape.parquet")
        source.drop("closed_date", "disposal_status").sink_parquet(tape)
        data = folder / "data"
        settings = Settings(model=str(bundle), data_folder=data)
        engine = open_database(settings)
        secret = create_key(engine, "million", "operator")[1]
        engine.dispose()
        port = free_port()
        processes = Processes(
            {"NPL_MODEL": str(bundle), "NPL_DATA_FOLDER": str(data), "NPL_PORT": str(port)},
            folder / "log",
        )
        service = processes.start("serve")
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(address)
            headers = {"Authorization": f"Bearer {secret}"}
            with httpx.Client(base_url=address, headers=headers, timeout=1_800) as client:
                for reasons in (False, True):
                    _one(client, service.pid, read_bundle(bundle), tape, reasons=reasons)
        finally:
            processes.end()


def _one(client: httpx.Client, pid: int, bundle: Bundle, tape: Path, *, reasons: bool) -> None:
    answer = tape.with_name("answer")
    print(f"reasons: {reasons}; upload of {tape.stat().st_size / 1e6:,.0f} MB")
    with watched_memory(pid) as seen:
        started = time.perf_counter()
        with tape.open("rb") as content:
            sent = client.post(
                "/v1/packages",
                params={"reasons": reasons},
                content=content,
                headers={"content-type": PARQUET},
            )
        sent.raise_for_status()
        _tell("upload", started, seen)
    package = sent.json()["package_id"]
    with watched_memory(pid) as seen:
        started, stage, since = time.perf_counter(), "", 0
        while True:
            status = client.get(f"/v1/packages/{package}").json()
            if status["stage"] != stage:
                if stage:
                    _tell(f"  to the end of {stage}", started, seen[since:])
                stage, since = status["stage"], len(seen)
            if status["state"] not in ("queued", "running"):
                break
            time.sleep(0.2)
        _tell(f"package {status['state']}", started, seen)
    print(f"  {status['problem'] or ''}")
    for name, path in _STEPS.items():
        with watched_memory(pid) as seen:
            started = time.perf_counter()
            with (
                client.stream("GET", f"/v1/packages/{package}/{path}") as found,
                answer.open("wb") as file,
            ):
                for piece in found.iter_bytes():
                    file.write(piece)
            told = "" if found.status_code == 200 else answer.read_text()
            size = answer.stat().st_size / 1e6
            _tell(f"{name}: {found.status_code}, {size:,.0f} MB {told}", started, seen)
        if name == "Parquet":
            _require_same(bundle, tape, answer, reasons=reasons)


def _require_same(bundle: Bundle, tape: Path, answer: Path, *, reasons: bool) -> None:
    """Refuse a result that is not, to the last bit, what the command line gives."""
    loans = int(pl.scan_parquet(tape).select(pl.len()).collect().item())
    for start in (0, loans // 2, max(0, loans - _COMPARED)):
        checked = check_bare_tape(pl.scan_parquet(tape).slice(start, _COMPARED), bundle, "tape")
        scores = score_loans(bundle.model, checked.tape, checked.ledger, explain=reasons)
        found = pl.scan_parquet(answer).slice(start, _COMPARED).collect()
        assert found.equals(checked.complete(scores)), f"rows from {start} on differ"
    print("  rows as npl score gives them")


def _tell(what: str, started: float, seen: list[float]) -> None:
    seconds = time.perf_counter() - started
    print(f"{what:<32}{seconds:8.1f} s   peak {max(seen, default=0):7,.0f} MB", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
