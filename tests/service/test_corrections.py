"""Approved corrections over HTTP: applied, told, on record, and no longer than in force."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from features.segments import segment_frame
from features.sources.result import no_ledger
from models.bundle import Bundle
from models.correction import CorrectionsInForce, Evidence, Proposal
from models.correction_book import CorrectionBook, write_book
from models.errors import CorrectionError
from models.scoring import score_loans
from service.keys import create_key
from tests.service.conftest import PARQUET, MakeService, loans_of, running, wait_for

TODAY = datetime.now(UTC).date()
LONG_AGO = date(1990, 1, 1)


@pytest.fixture
def proposed(bundle: Bundle, tape: pl.DataFrame) -> Proposal:
    """A fifth off every loan of the commonest region."""
    regions = segment_frame(tape.lazy(), no_ledger().lazy(), "claim")["region"]
    common = regions.value_counts(sort=True)["region"][0]
    evidence = Evidence(
        loans=500, vintages=8, first_vintage=LONG_AGO, last_vintage=LONG_AGO, horizon_months=None,
        forecast_amount=100.0, actual_amount=80.0, ratio=0.8, ratio_low=None, ratio_high=None,
        p_value=0.01, data_hash="d", model_version=bundle.version,
    )  # fmt: skip
    return Proposal(
        conditions={"region": common}, vintage_by="cut_off_date", factor=0.8,
        vintages_from=LONG_AGO + timedelta(days=1), credibility=0.9, evidence=evidence,
        proposed_by="Li Wei", proposed_on=TODAY, reason="slow courts",
    )  # fmt: skip


@pytest.fixture
def approved(proposed: Proposal) -> CorrectionBook:
    book = CorrectionBook().propose([proposed])
    until = TODAY + timedelta(days=300)
    return book.approve(proposed.id, "Chen Hao", "holds", TODAY, TODAY, until)


def scores(bundle: Bundle, tape: pl.DataFrame, held: CorrectionsInForce | None) -> pl.DataFrame:
    ledger = no_ledger().lazy()
    return score_loans(bundle.model, tape.lazy(), ledger, explain=True, corrections=held)


def test_what_is_in_force_is_applied_told_and_replayed(
    make_service: MakeService,
    bundle: Bundle,
    tape: pl.DataFrame,
    approved: CorrectionBook,
    proposed: Proposal,
    tmp_path: Path,
) -> None:
    book = tmp_path / "corrections.jsonl"
    write_book(book, approved)
    service = make_service(corrections=book)
    key = create_key(service.engine, "tests", "operator")[1]
    headers = {"Authorization": f"Bearer {key}"}
    tape.write_parquet(tmp_path / "tape.parquet")
    body = {"loans": loans_of(tape), "reasons": True}
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
    ):
        answer = client.post("/v1/recoveries", json=body).json()
        assert answer["correction"] == {
            "book_version": approved.version,
            "valued_on": TODAY.isoformat(),
            "in_force": [proposed.id],
        }
        corrected = scores(bundle, tape, approved.in_force(TODAY, bundle.version))
        loans = answer["loans"]
        assert [loan["recovery_rate"] for loan in loans] == corrected["recovery_rate"].to_list()
        taken = [loan["correction"] is not None for loan in loans]
        assert taken == corrected["correction_id"].is_not_null().to_list()
        assert 0 < sum(taken) < len(taken)

        content = (tmp_path / "tape.parquet").read_bytes()
        package = client.post("/v1/packages", content=content, headers={"Content-Type": PARQUET})
        done = wait_for(client, package.json()["package_id"])
        assert done["state"] == "done"
        result = client.get(f"/v1/packages/{done['package_id']}/result").json()
        assert result["correction"] == answer["correction"]
        told = [loan["correction"] for loan in result["loans"]]
        assert told == [loan["correction"] for loan in loans]

        write_book(book, approved.expire(proposed.id, "Chen Hao", "over", TODAY))
        later = client.post("/v1/recoveries", json=body).json()
        assert later["correction"]["in_force"] == []
        plain = scores(bundle, tape, None)["recovery_rate"].to_list()
        assert [loan["recovery_rate"] for loan in later["loans"]] == plain
        # A book that can no longer be read is refused; the last one stays.
        book.write_text("{", encoding="utf-8")
        assert client.post("/v1/recoveries", json=body).json()["correction"] == later["correction"]
        assert client.get("/v1/models").json()["in_service"]["correction"] == later["correction"]

        for valuation in (answer["valuation_id"], result["valuation_id"]):
            again = client.post(f"/v1/valuations/{valuation}/replay")
            assert again.status_code == 200, again.text
        for kept in (service.settings.data_folder / "corrections").iterdir():
            kept.unlink()
        lost = client.post(f"/v1/valuations/{answer['valuation_id']}/replay")
        assert lost.status_code == 409
        assert approved.version in lost.json()["missing"][0]


def test_a_service_does_not_start_on_a_book_it_cannot_read(
    make_service: MakeService, tmp_path: Path
) -> None:
    with pytest.raises(CorrectionError, match="no book"):
        make_service(corrections=tmp_path / "none.jsonl")
