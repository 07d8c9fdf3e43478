"""What starts a night in production, read by the tools that will read it there."""

import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from cronsim import CronSim
from typer.testing import CliRunner

from cli.main import app
from tests.conftest import ROOT
from tests.deploy.kubernetes_models import cron_job_of
from training.night_outcome import HELD_EXIT
from training.night_settings import DEFAULT, NightSettings

DEPLOY = ROOT / "deploy"


def options() -> set[str]:
    shown = CliRunner().invoke(app, ["retrain", "--help"], env={"COLUMNS": "200"}).output
    return set(re.findall(r"--[a-z-]+", shown))


def cron_line() -> str:
    lines = (DEPLOY / "cron" / "npl-retrain").read_text().splitlines()
    (line,) = [text for text in lines if re.match(r"[\d*]", text)]
    return line


def cron_job() -> dict[str, Any]:
    text = (DEPLOY / "kubernetes" / "retrain-cronjob.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_the_settings_shipped_are_those_by_default() -> None:
    assert NightSettings.read(DEPLOY / "nightly.toml") == DEFAULT


def test_every_scheduler_gives_options_that_there_are() -> None:
    unit = (DEPLOY / "systemd" / "npl-retrain.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    job = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert job["command"] == ["npl", "retrain"]
    for told in (command, cron_line(), " ".join(job["args"])):
        given = set(re.findall(r"--[a-z-]+", told))
        assert "--store" in given
        assert given <= options()


def test_cron_runs_once_a_night() -> None:
    fields, (user, program, verb) = cron_line().split()[:5], cron_line().split()[5:8]
    assert (user, program, verb) == ("npl", "npl", "retrain")
    for schedule in (" ".join(fields), cron_job()["spec"]["schedule"]):
        runs = CronSim(schedule, datetime(2025, 12, 30, 12))
        assert [next(runs) for _ in range(2)] == [
            datetime(2025, 12, 31, 2, 30),
            datetime(2026, 1, 1, 2, 30),
        ]


def test_a_held_night_is_no_failure_and_bad_data_is_not_tried_again() -> None:
    unit = (DEPLOY / "systemd" / "npl-retrain.service").read_text()
    assert f"SuccessExitStatus={HELD_EXIT}\n" in unit
    assert "RestartPreventExitStatus=2 3 4\n" in unit
    rule = cron_job()["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][0]
    assert rule["onExitCodes"]["values"] == [2, 3, 4, HELD_EXIT]
    assert cron_job()["spec"]["concurrencyPolicy"] == "Forbid"


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    for name in ("npl-retrain.service", "npl-retrain.timer"):
        shutil.copy(DEPLOY / "systemd" / name, tmp_path)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "npl-retrain.timer")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    told = subprocess.run(
        ["systemd-analyze", "calendar", "*-*-* 02:30:00"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "02:30:00" in told.stdout


def test_kubernetes_takes_the_cron_job() -> None:
    job = cron_job()
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    read = cron_job_of(job)
    assert read.spec.jobTemplate.spec.template.spec.restartPolicy == "Never"
    job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["arg"] = []
    with pytest.raises(msgspec.ValidationError, match=r"unknown field `arg`.*containers\[0\]"):
        cron_job_of(job)
