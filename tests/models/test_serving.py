"""`mlflow models serve` on a registered version, as a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from features.portfolio import Portfolio
from features.sources.result import no_ledger
from models import registry
from models.bundle import Bundle, Provenance, write_bundle
from models.mlflow_store import Store
from models.recovery import RecoveryModel
from models.scoring import score_loans
from training.examples import with_typical_examples
from training.tracking import tracked_run

STARTS_WITHIN_SECONDS = 120


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, "the server ended by itself"
        try:
            with urlopen(url, timeout=5):
                return
        except URLError:
            time.sleep(0.2)
    pytest.fail(f"no answer within {STARTS_WITHIN_SECONDS} s")


@pytest.mark.skipif(
    os.environ.get("CI", "").lower() != "true",
    reason="starting MLflow's server takes up to half a minute: run where CI=true",
)
def test_a_served_version_answers_with_the_scores(
    store: Store, dated_model: RecoveryModel, simulated: Portfolio, tmp_path: Path
) -> None:
    provenance = Provenance(
        data_hash="d" * 64, git_commit=None, versions={}, known_on="2024-12-31", settings={}
    )
    bare = Bundle(dated_model, simulated.meta, provenance, [])
    write_bundle(tmp_path / "b", with_typical_examples(bare, simulated))
    with tracked_run("train", simulated, store=store) as run:
        registry.register(store, tmp_path / "b", run.run_id)
    tape = simulated.tape.head(100).collect()
    expected = score_loans(dated_model, tape.lazy(), no_ledger().lazy()).to_dicts()
    port = _free_port()
    command = ["-m", "mlflow", "models", "serve", "-m", "models:/npl-recovery@champion"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    # A session of its own, so that the server's workers end with it.
    server = subprocess.Popen(
        [sys.executable, *command],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", server)
        body = json.dumps({"dataframe_records": json.loads(tape.write_json())}).encode()
        asked = Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urlopen(asked, timeout=60) as answer:
            assert json.load(answer)["predictions"] == expected
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
