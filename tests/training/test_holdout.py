"""Out-of-time splits: nothing of the held-out time reaches the training side."""

from datetime import date

import polars as pl
import pytest

from features.portfolio import Portfolio, read_portfolio
from features.sources.simulated import simulate
from training.errors import TrainingError
from training.holdout import hold_out


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    folder = tmp_path_factory.mktemp("holdout") / "p"
    simulate(folder, 1_200, 3)
    return read_portfolio(folder)


def test_training_knows_only_what_was_known_before_the_held_out_vintages(
    portfolio: Portfolio,
) -> None:
    split = hold_out(portfolio, date(2021, 1, 1))
    assert split.train.outcomes["vintage_date"].max() < date(2021, 1, 1)  # type: ignore[operator]
    assert split.test.outcomes["vintage_date"].min() >= date(2021, 1, 1)  # type: ignore[operator]
    # Cash after the first held-out cut-off changes nothing on the training side.
    first = split.test.outcomes["vintage_date"].min()
    later = portfolio.ledger.with_columns(
        gross_amount=pl.when(pl.col("period") > first)
        .then(pl.col("gross_amount") * 7)
        .otherwise("gross_amount")
    )
    again = hold_out(portfolio.with_tables(portfolio.tape, later), date(2021, 1, 1))
    assert split.train.outcomes.equals(again.train.outcomes)
    assert split.train.features.equals(again.train.features)
    assert not split.test.outcomes.equals(again.test.outcomes)


def test_the_vocabulary_is_that_of_the_training_vintages(portfolio: Portfolio) -> None:
    newcomer = portfolio.tape.with_columns(
        originator=pl.when(pl.col("snapshot_date") >= date(2021, 1, 1))
        .then(pl.lit("bank that came later"))
        .otherwise(pl.lit("old bank ") + pl.col("asset_class").cast(pl.String))
    )
    split = hold_out(portfolio.with_tables(newcomer, portfolio.ledger), date(2021, 1, 1))
    levels = split.train.spec.definition("originator").levels
    assert levels
    assert "bank that came later" not in levels
    assert split.test.features["originator"].null_count() == split.test.features.height


def test_hindsight_uses_later_cash_but_no_later_vintage(portfolio: Portfolio) -> None:
    strict = hold_out(portfolio, date(2021, 1, 1)).train.outcomes
    knowing = hold_out(portfolio, date(2021, 1, 1), hindsight=True).train.outcomes
    assert strict["loan_id"].equals(knowing["loan_id"])
    known = (pl.col("recovery_rate_24m").count(),)
    assert knowing.select(known).item() > strict.select(known).item()


def test_the_default_split_holds_out_about_a_fifth_of_the_judged(portfolio: Portfolio) -> None:
    split = hold_out(portfolio)
    months = split.horizon_months
    assert months == 24
    judged = split.test.outcomes.filter(pl.col("observed_months") >= months).height
    before = (hold_out(portfolio, split.start, hindsight=True).train.outcomes["loan_id"]).len()
    assert 0.15 < judged / (judged + before) < 0.3


def test_a_split_with_an_empty_side_is_refused(portfolio: Portfolio) -> None:
    with pytest.raises(TrainingError, match="2031-01-01"):
        hold_out(portfolio, date(2031, 1, 1))


def test_by_origination_no_loan_valued_later_is_trained_on(portfolio: Portfolio) -> None:
    split = hold_out(portfolio, date(2019, 1, 1), "origination_date")
    first = split.test.outcomes["cut_off_date"].min()
    assert (split.train.outcomes["cut_off_date"] <= first).all()
    assert (split.train.outcomes["vintage_date"] < date(2019, 1, 1)).all()


def test_a_short_ledger_is_judged_at_a_shorter_horizon_or_refused(portfolio: Portfolio) -> None:
    def until(day: date) -> Portfolio:
        meta = portfolio.meta.model_copy(update={"observed_until_date": day})
        tape = portfolio.tape.filter(pl.col("snapshot_date") <= day).with_columns(
            closed_date=pl.when(pl.col("closed_date") <= day).then("closed_date")
        )
        ledger = portfolio.ledger.filter(pl.col("recorded_at").dt.date() <= day)
        return Portfolio(meta, tape, ledger)

    assert hold_out(until(date(2019, 6, 30))).horizon_months in (6, 12, 24)
    with pytest.raises(TrainingError, match="too short"):
        hold_out(until(date(2016, 6, 30)))
