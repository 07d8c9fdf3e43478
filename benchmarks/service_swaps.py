"""A hundred champions under load: `python -m benchmarks.service_swaps [SWAPS]`.

Two versions of a model take turns as the registry's champion while two clients ask a service of its
own process for reasons. Each answer must be, to the last bit, the answer of the one version whose
name it bears, and every swap must reach the answers.
"""

import http.client
import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.service_load import free_port, server
from benchmarks.service_model import small_model
from features.sources.result import no_ledger
from models import registry
from models.bundle import Bundle, read_bundle, write_bundle
from models.example_scores import with_examples
from models.mlflow_store import URI_VARIABLE, Store
from models.reference import registered
from models.request import check_bare_tape
from models.scoring import score_loans
from service.conversion import loan_documents, tape_of
from service.keys import create_key
from service.settings import Settings
from service.storage import open_database

CHAMPION_SECONDS: Final = 0.1
LOANS: Final = 3
WITHIN_SECONDS: Final = 60.0


def main() -> None:
    """Swap, ask, compare, and print what was found."""
    swaps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store.in_folder(folder / "mlruns")
        os.environ[URI_VARIABLE] = store.uri
        bundle_folder, tape = small_model(folder)
        first = read_bundle(bundle_folder)
        second = other_than(first)
        write_bundle(folder / "second", second)
        register_both(store, bundle_folder, folder / "second")
        loans = documents(tape.head(LOANS))
        expected = {one.version: answers(one, loans) for one in (first, second)}
        run(folder, store, swaps, loans, expected, [first.version, second.version])


def other_than(bundle: Bundle) -> Bundle:
    assert bundle.examples is not None
    model = replace(bundle.model, level=bundle.model.level + 1)
    return with_examples(
        replace(bundle, model=model), list(bundle.examples.loans), list(bundle.examples.ledger)
    )


def register_both(store: Store, *folders: Path) -> None:
    store.prepare()
    with registry.answering(store) as client:
        experiment = client.create_experiment("swaps", artifact_location=store.artifacts_uri)
        for folder in folders:
            registry.register(store, folder, client.create_run(experiment).info.run_id)


def documents(tape: pl.DataFrame) -> list[dict[str, Any]]:
    rows = tape.with_columns(pl.col(pl.Date).cast(pl.String)).to_dicts()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def answers(bundle: Bundle, loans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Loans of an answer as they must be, without the service."""
    checked = check_bare_tape(tape_of(loans, {}, bundle), bundle, "loans")
    scores = score_loans(bundle.model, checked.tape.collect(), no_ledger(), explain=True)
    told: list[dict[str, Any]] = json.loads(json.dumps(loan_documents(scores, bundle)))
    return told


def run(
    folder: Path, store: Store, swaps: int, loans: list[dict[str, Any]],
    expected: dict[str, list[dict[str, Any]]], versions: list[str],
) -> None:  # fmt: skip
    settings = Settings(model="champion", data_folder=folder / "data")
    key = create_key(open_database(settings), "swaps", "valuer", 10_000_000)[1]
    port = free_port()
    code = (
        "from service.server import serve; from service.settings import Settings;"
        f"serve(Settings(model='champion', data_folder={str(folder / 'data')!r}, port={port},"
        f" champion_seconds={CHAMPION_SECONDS}, workers_in_process=0))"
    )
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps({"loans": loans, "reasons": True}).encode()
    counts = {"answers": 0, "errors": 0, "mixed": 0}
    last, enough = [""], threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not enough.is_set():
            connection.request("POST", "/v1/recoveries", body, headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            counts["answers"] += 1
            if answer.status != 200:
                counts["errors"] += 1
            elif told["loans"] != expected[told["model_version"]]:
                counts["mixed"] += 1
            else:
                last[0] = told["model_version"]

    waits = []
    with server([sys.executable, "-c", code], port, "/readyz"):
        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        try:
            for swap in range(1, swaps + 1):
                number = swap % 2
                registry.promote(store, registered(str(number + 1)))
                started = time.monotonic()
                while last[0] != versions[number]:
                    assert time.monotonic() - started < WITHIN_SECONDS, f"swap {swap} not served"
                    time.sleep(0.01)
                waits.append(time.monotonic() - started)
                if swap % 10 == 0:
                    print(f"{swap} swaps, {counts}", flush=True)
        finally:
            enough.set()
            for asker in askers:
                asker.join()
    waits.sort()
    print(f"{swaps} swaps, each in the answers after {waits[len(waits) // 2]:.2f} s in the middle,")
    print(f"{waits[-1]:.2f} s at most; {counts}")
    assert counts["errors"] == counts["mixed"] == 0


if __name__ == "__main__":
    main()
