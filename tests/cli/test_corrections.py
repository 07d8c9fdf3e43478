"""`npl corrections` and `npl score --corrections`, as a user meets them."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.portfolio import read_portfolio
from features.segments import segment_frame
from tests.cli.conftest import Npl


def _backtest(portfolio: Path, out: Path) -> str:
    """Forecasts 40% too high in the commonest region, beside outcomes; gives the region."""
    loans = read_portfolio(portfolio)
    known = segment_frame(loans.tape, loans.ledger, loans.meta.recovery_basis)
    rng = np.random.default_rng(1)
    known = known.sample(6_000, with_replacement=True, seed=1)
    region = str(known["region"].value_counts(sort=True)["region"][0])
    rate = rng.uniform(0.2, 0.6, known.height)
    wrong = (known["region"] == region).to_numpy()
    day = pl.Series(rng.integers(0, 1_400, known.height))
    vintage = pl.Series([date(2019, 1, 1)] * known.height) + (day * 86_400_000_000).cast(
        pl.Duration("us")
    )
    known.with_columns(
        loan_id=pl.Series([f"L{n}" for n in range(known.height)]),
        reference_date=vintage,
        cut_off_date=vintage,
        vintage=vintage,
        horizon_months=pl.lit(None, dtype=pl.Int32),
        ead_amount=pl.Series(rng.lognormal(10, 0.5, known.height)),
        forecast_rate=pl.Series(rate * np.where(wrong, 1.4, 1.0)),
        actual_rate=pl.Series(rate * rng.uniform(0.6, 1.4, known.height)),
        is_resolved=pl.lit(True),
    ).write_parquet(out)
    return region


def test_from_a_backtest_to_a_corrected_score(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = trained
    table, book = tmp_path / "backtest.parquet", tmp_path / "corrections.jsonl"
    region = _backtest(portfolio, table)
    fit: tuple[object, ...] = ("corrections", "propose", table, "--book", book, "--model", bundle)
    fit += ("--dimension", "region", "--before", "2023-01-01")
    who = ("--by", "Li Wei", "--reason", "slow courts")
    proposed = npl(*fit, *who, "--json")
    assert proposed.code == 0, proposed.err
    (one,) = proposed.document["proposed"]
    assert one["state"] == "proposed"
    assert one["proposal"]["conditions"] == {"region": region}
    assert 0.7 < one["proposal"]["factor"] < 0.8

    def rates(name: str, *more: object) -> tuple[pl.DataFrame, Any]:
        out = tmp_path / name
        ran = npl("score", portfolio, "--model", bundle, "--out", out, "--json", *more)
        assert ran.code == 0, ran.err
        return pl.read_parquet(out), ran.document["corrections"]

    plain, told = rates("plain.parquet")
    assert told is None
    idle, told = rates("idle.parquet", "--corrections", book)
    assert told["in_force"] == []
    assert idle.select(plain.columns).equals(plain)

    decide = ("corrections", "approve", one["id"], "--book", book, "--reason", "seen")
    year_on = date.today() + timedelta(days=365)  # noqa: DTZ011
    own = npl(*decide, "--by", "Li Wei", "--expires", year_on)
    assert own.code == 3
    assert "somebody else must approve" in own.err
    assert npl(*decide, "--by", "Chen Hao", "--expires", year_on).code == 0
    corrected, told = rates("corrected.parquet", "--corrections", book)
    assert told["in_force"] == [one["id"]]
    taken = corrected["correction_id"].is_not_null()
    assert told["corrected_loans"] == taken.sum() > 0
    np.testing.assert_allclose(
        corrected["recovery_rate"].filter(taken),
        plain["recovery_rate"].filter(taken) * one["proposal"]["factor"],
        rtol=1e-9,
    )
    assert corrected.filter(~taken).select(plain.columns).equals(plain.filter(~taken))
    later, told = rates("later.parquet", "--corrections", book, "--valued-on", year_on)
    assert told["in_force"] == []
    assert later.select(plain.columns).equals(plain)

    listed = npl("corrections", "list", "--book", book)
    assert region in listed.out
    assert "approved" in listed.out
    states = npl("corrections", "list", "--book", book, "--on", year_on, "--json").document
    assert [c["state"] for c in states["corrections"]] == ["expired"]
    ended = npl("corrections", "expire", one["id"], "--book", book, "--by", "Zhao", "--reason", "x")
    assert ended.code == 0
    assert rates("ended.parquet", "--corrections", book)[1]["in_force"] == []


def test_what_cannot_be_done_says_why(npl: Npl, trained: tuple[Path, Path], tmp_path: Path) -> None:
    portfolio, bundle = trained
    book = tmp_path / "corrections.jsonl"
    listed = npl("corrections", "list", "--book", book)
    assert listed.code == 3
    assert "no book there" in listed.err
    scored = ("score", portfolio, "--model", bundle, "--out", tmp_path / "s.parquet")
    assert npl(*scored, "--valued-on", "2025-01-01").code == 2
    assert npl(*scored, "--corrections", book).code == 3
    pl.DataFrame({"loan_id": ["a"]}).write_parquet(tmp_path / "t.parquet")
    fit: tuple[object, ...] = ("corrections", "propose", tmp_path / "t.parquet", "--book", book)
    fit += ("--model", bundle, "--dimension", "region", "--before", "2023-01-01")
    fit += ("--by", "x", "--reason", "y")
    refused = npl(*fit)
    assert refused.code == 3
    assert "no columns reference_date" in refused.err
