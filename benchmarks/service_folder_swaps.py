"""The folder in service exchanged a hundred times: `python -m benchmarks.service_folder_swaps`.

Two bundles take turns in the folder that the service reads, each put there by one rename, while
eight connections ask for the same loan with reasons. Each answer must bear, to the last bit, what
the version that it names says by itself.
"""

import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl

from benchmarks.service_model import small_model
from benchmarks.service_process import Processes, free_port, wait_until_ready
from features.sources.result import no_ledger
from models.bundle import Bundle, read_bundle
from models.scoring import score_loans
from service.conversion import loan_documents
from service.keys import create_key
from service.settings import Settings
from service.storage import open_database

SWAPS = 100
CONNECTIONS = 8


def main() -> None:
    """Exchange, and tell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = [small_model(folder / str(loans), loans) for loans in (6_000, 5_000)]
        tape = made[0][1].head(1)
        bundles = [read_bundle(bundle) for bundle, _ in made]
        in_service = folder / "in-service"
        in_service.symlink_to(made[0][0])

        def put(number: int) -> None:
            aside = folder / "aside"
            aside.symlink_to(made[number % 2][0])
            aside.rename(in_service)

        print(Trial(folder / "trial", str(in_service), bundles, tape).run(put))


@dataclass
class Trial:
    """Load while the model is exchanged again and again."""

    folder: Path
    model: str
    bundles: list[Bundle]
    tape: pl.DataFrame
    ending: threading.Event = field(default_factory=threading.Event)
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def run(self, exchange: Callable[[int], None]) -> str:
        """Ask, exchange, and compare."""
        data, port = self.folder / "data", free_port()
        settings = Settings(model=self.model, data_folder=data)
        engine = open_database(settings)
        secret = create_key(engine, "swaps", "operator", 10_000_000)[1]
        engine.dispose()
        given = {
            "NPL_MODEL": self.model,
            "NPL_DATA_FOLDER": str(data),
            "NPL_PORT": str(port),
            "NPL_CHAMPION_SECONDS": "0.1",
            "OMP_NUM_THREADS": "1",
        }
        processes = Processes(given, self.folder / "log")
        address = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {secret}"}
        try:
            processes.start("serve")
            wait_until_ready(address)
            right = {bundle.version: figures(bundle, self.tape) for bundle in self.bundles}
            threads = [
                threading.Thread(target=self._ask, args=(address, headers, right))
                for _ in range(CONNECTIONS)
            ]
            for thread in threads:
                thread.start()
            seconds = []
            with httpx.Client(base_url=address, timeout=60) as client:
                for number in range(1, SWAPS + 1):
                    started = time.monotonic()
                    exchange(number)
                    self._until_in_service(client, self.bundles[number % 2].version)
                    seconds.append(time.monotonic() - started)
            self.ending.set()
            for thread in threads:
                thread.join()
        finally:
            self.ending.set()
            processes.end()
        log = (self.folder / "log").read_text()
        told = {f"{status}, {version[:8]}": n for (status, version), n in self.answers.items()}
        return (
            f"{len(seconds)} exchanges, each in service after {sum(seconds) / len(seconds):.2f} s"
            f" (at most {max(seconds):.2f} s), {log.count('model exchanged')} in the log, refused"
            f" on the way {log.count('model refused')}; {sum(self.answers.values()):,} answers"
            f" {told}; other figures than those of the version named, or errors:"
            f" {len(self.faults)} {self.faults[:3]}"
        )

    def _until_in_service(self, client: httpx.Client, version: str) -> None:
        until = time.monotonic() + 60
        while client.get("/readyz").json().get("model_version") != version:
            if time.monotonic() > until:
                raise RuntimeError(f"{version} did not come into service")
            time.sleep(0.02)

    def _ask(self, address: str, headers: dict[str, str], right: dict[str, Any]) -> None:
        body = json.dumps({"loans": asked(self.tape), "reasons": True}).encode()
        with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
            while not self.ending.is_set():
                answer = client.post("/v1/recoveries", content=body)
                document = answer.json()
                version = document.get("model_version", "")
                self.answers[answer.status_code, version] += 1
                if answer.status_code != 200 or document["loans"] != right.get(version):
                    self.faults.append(answer.text[:300])


def asked(tape: pl.DataFrame) -> list[dict[str, Any]]:
    """Loans as a caller writes them."""
    return [
        {
            name: value.isoformat() if hasattr(value, "isoformat") else value
            for name, value in row.items()
            if value is not None
        }
        for row in tape.to_dicts()
    ]


def figures(bundle: Bundle, tape: pl.DataFrame) -> Any:
    """Loans of the answer that a bundle gives by itself."""
    scores = score_loans(bundle.model, tape.lazy(), no_ledger().lazy(), explain=True)
    return json.loads(msgspec.json.encode(loan_documents(scores, bundle)))


if __name__ == "__main__":
    main()
