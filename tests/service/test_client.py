"""The client against a running service, and without the service installed beside it."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from openpyxl import load_workbook

from npl_client import Client, ClientError
from service.keys import create_key
from tests.service.conftest import MakeService, loans_of, running


def test_the_client_loads_nothing_of_ours_but_itself() -> None:
    code = (
        "import npl_client, sys;"
        "print([m for m in ('service', 'models', 'features', 'polars', 'lightgbm', 'fastapi')"
        " if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_loans_and_an_excel_file_go_in_and_come_back(
    make_service: MakeService, tape: pl.DataFrame, tmp_path: Path
) -> None:
    service = make_service()
    secret = create_key(service.engine, "a", "valuer")[1]
    texts = tape.with_columns(pl.col(pl.Enum, pl.Boolean).cast(pl.String))
    texts.write_excel(tmp_path / "package.xlsx")
    with running(service) as address, Client(address, secret) as client:
        answer = client.recoveries(loans_of(tape[:2]), reasons=True)
        assert [loan["loan_id"] for loan in answer["loans"]] == tape["loan_id"][:2].to_list()
        assert client.valuation(answer["valuation_id"])["loans"] == 2
        seen: list[str] = []
        sent = client.send(tmp_path / "package.xlsx", idempotency_key="a")
        done = client.wait(sent.id, progress=lambda package: seen.append(package.state))
        assert seen[-1] == done.state == "done"
        assert client.summary(sent.id)["loans"] == tape.height
        client.save_result(sent.id, tmp_path / "out.xlsx")
        assert load_workbook(tmp_path / "out.xlsx").sheetnames[1] == "Loans"
        client.save_result(sent.id, tmp_path / "out.parquet")
        rates = pl.read_parquet(tmp_path / "out.parquet")["recovery_rate"][:2].to_list()
        assert rates == [loan["recovery_rate"] for loan in answer["loans"]]
        with pytest.raises(ClientError, match="done already") as refused:
            client.cancel(sent.id)
        assert refused.value.status == 409
        with pytest.raises(ClientError, match="no such package"):
            client.package("nothing")
        bad = tmp_path / "bad.csv"
        bad.write_text("a,b\n1,2\n")
        with pytest.raises(ClientError, match="header"):
            client.wait(client.send(bad).id)
