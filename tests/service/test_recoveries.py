"""Loans in JSON against the command line's own path, to the last bit, and what is refused."""

import json
from typing import Any

import httpx
import polars as pl
import pytest

from features.portfolio import Portfolio
from features.sources.result import no_ledger
from models.bundle import Bundle
from models.scoring import score_loans
from tests.service.conftest import loans_of

URL = "/v1/recoveries"


@pytest.fixture(scope="module")
def scores(bundle: Bundle, tape: pl.DataFrame) -> pl.DataFrame:
    """The same loans scored as the command line does: a plan, streamed."""
    return score_loans(bundle.model, tape.lazy(), no_ledger().lazy(), explain=True)


def assert_same(loans: list[dict[str, Any]], scores: pl.DataFrame) -> None:
    for loan, row in zip(loans, scores.iter_rows(named=True), strict=True):
        assert loan["loan_id"] == row["loan_id"]
        assert loan["ead_amount"] == row["ead"]
        assert loan["recovery_rate"] == row["recovery_rate"]
        assert loan["expected_recovery_amount"] == row["expected_recovery_amount"]
        for point in loan["curve"]:
            assert point["recovery_rate"] == row[f"recovery_rate_{point['horizon_months']:02d}m"]
            assert point["cash_amount"] == row["ead"] * point["recovery_rate"]
        assert ";".join(loan["flags"]) == row["flags"]
        assert loan["reasons"]["base_rate"] == row["base_rate"]
        told = [(f["feature"], f["value"], f["rate_points"]) for f in loan["reasons"]["factors"]]
        assert told == [
            (row[f"factor_{n}"], row[f"factor_{n}_value"], row[f"factor_{n}_points"])
            for n in range(1, 6)
        ]
        assert loan["reasons"]["other_rate_points"] == row["other_points"]


def test_json_gives_the_command_lines_numbers_to_the_last_bit(
    client: httpx.Client, tape: pl.DataFrame, scores: pl.DataFrame, bundle: Bundle
) -> None:
    answer = client.post(URL, json={"loans": loans_of(tape), "reasons": True})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["model_version"] == bundle.version
    assert len(document["loans"][0]["curve"]) == 6
    assert_same(document["loans"], scores)


def test_a_loan_alone_gives_what_it_gives_among_others(
    client: httpx.Client, tape: pl.DataFrame, scores: pl.DataFrame
) -> None:
    for place in (0, 7, 39):
        loans = loans_of(tape[place : place + 1])
        found = client.post(URL, json={"loans": loans, "reasons": True}).json()["loans"]
        assert_same(found, scores[place : place + 1])


def test_values_as_texts_give_the_same(
    client: httpx.Client, tape: pl.DataFrame, scores: pl.DataFrame
) -> None:
    loans = [
        {n: v if isinstance(v, bool) else str(v) for n, v in loan.items()}
        for loan in loans_of(tape)
    ]
    found = client.post(URL, json={"loans": loans, "reasons": True}).json()["loans"]
    assert_same(found, scores)


def test_cash_before_the_cut_off_counts(
    client: httpx.Client, bundle: Bundle, simulated: Portfolio, tape: pl.DataFrame
) -> None:
    ids = tape["loan_id"].implode()
    ledger = simulated.ledger.filter(pl.col("loan_id").is_in(ids)).collect()
    known = ledger.filter(pl.col("period") <= tape["snapshot_date"].min())
    assert known.height > 0
    expected = score_loans(bundle.model, tape.lazy(), ledger.lazy())
    body = {"loans": loans_of(tape), "ledger": loans_of(ledger)}
    found = client.post(URL, json=body)
    assert found.status_code == 200, found.text
    rates = [loan["recovery_rate"] for loan in found.json()["loans"]]
    assert rates == expected["recovery_rate"].to_list()
    without = client.post(URL, json={"loans": loans_of(tape)}).json()["loans"]
    assert rates != [loan["recovery_rate"] for loan in without]


def test_a_bad_loan_never_sinks_the_rest(client: httpx.Client, tape: pl.DataFrame) -> None:
    loans = loans_of(tape[:3])
    loans[1]["principal_outstanding"] = -5
    document = client.post(URL, json={"loans": loans}).json()
    rates = [loan["recovery_rate"] for loan in document["loans"]]
    assert rates[1] is None
    assert None not in (rates[0], rates[2])
    assert "principal_outstanding" in document["loans"][1]["reason_not_scored"]
    assert [fault["row"] for fault in document["faults"] if fault["severity"] == "error"] == [2]


def test_an_unseen_region_is_flagged(client: httpx.Client, tape: pl.DataFrame) -> None:
    loan = loans_of(tape[:1])[0] | {"borrower_adcode": "990100"}
    found = client.post(URL, json={"loans": [loan]}).json()["loans"][0]
    assert "unseen_region" in found["flags"]
    assert found["recovery_rate"] is not None


def test_what_is_unlike_training_is_flagged(client: httpx.Client, tape: pl.DataFrame) -> None:
    loan = loans_of(tape[:1])[0] | {"interest_rate": 99.0}
    bare = {
        name: value
        for name, value in loan.items()
        if name not in {"legal_stage", "lawsuit_date", "limitation_expiry", "seizure_rank"}
    }
    found = client.post(URL, json={"loans": [loan, bare | {"loan_id": "bare"}]}).json()["loans"]
    assert "outside_interest_rate" in found[0]["flags"]
    assert "missing_legal" not in found[0]["flags"]
    assert "missing_legal" in found[1]["flags"]


def test_defaults_fill_what_loans_leave_out(client: httpx.Client, tape: pl.DataFrame) -> None:
    loan = loans_of(tape[:1])[0]
    common = {name: loan.pop(name) for name in ("currency", "snapshot_date", "source_system")}
    found = client.post(URL, json={"loans": [loan], "defaults": common})
    whole = client.post(URL, json={"loans": [loan | common]})
    assert found.json()["loans"] == whole.json()["loans"]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 400, "truncated"),
        (b"{", 400, "truncated"),
        (b"[]", 400, "Expected `object`"),
        (b'{"loans": []}', 400, "length >= 1"),
        (b'{"loans": [{}], "colour": 1}', 400, "unknown field `colour`"),
        (b'{"loans": [{"loan_id": {"a": 1}}]}', 400, "$.loans[0]"),
        (b'{"loans": [{"loan_id": [1]}]}', 400, "$.loans[0]"),
        (b'{"loans": [{"x": NaN}]}', 400, "malformed"),
        (b'{"loans": [{}], "cut_off_date": "soon"}', 400, "cut_off_date"),
        (b"\xff\xfe{}", 400, "malformed"),
        (b"[" * 100_000, 400, ""),
    ],
)
def test_what_is_no_request_is_told_where(
    client: httpx.Client, body: bytes, status: int, told: str
) -> None:
    answer = client.post(URL, content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert told.lower() in document["detail"].lower()
    assert document["request_id"] == answer.headers["x-request-id"]


def test_more_loans_than_allowed_are_refused(client: httpx.Client) -> None:
    body = json.dumps({"loans": [{}] * 10_001})
    assert client.post(URL, content=body).status_code == 400


def test_a_loan_that_says_nothing_is_answered_with_its_faults(
    client: httpx.Client, bundle: Bundle
) -> None:
    # What the model was trained on beyond the schema must be columns at least.
    assert "extra fields" in client.post(URL, json={"loans": [{}]}).json()["detail"]
    nothing = {field.name: None for field in bundle.model.spec.extra_fields}
    answer = client.post(URL, json={"loans": [nothing, {}]})
    assert answer.status_code == 200
    assert [loan["recovery_rate"] for loan in answer.json()["loans"]] == [None, None]
    assert {"loan_id", "snapshot_date"} <= {fault["field"] for fault in answer.json()["faults"]}
