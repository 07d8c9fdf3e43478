"""The simulator against its own promises: levels, timing, truth, bytes, what is known when."""

import hashlib
import math
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.check import check_portfolio
from features.errors import PortfolioError, SourceError
from features.horizons import HORIZONS_MONTHS
from features.portfolio import read_portfolio
from features.sources.simulated import simulate
from features.sources.simulated_calibration import calibrate
from features.sources.simulated_cash import draw_workouts
from features.sources.simulated_effects import draw_block, logistic
from features.sources.simulated_facts import (
    FIRST_YEAR,
    LEVELS,
    PUBLISHED,
    SEGMENTS,
)
from features.sources.simulated_packages import draw_packages, draw_shocks, places
from features.sources.simulated_routes import acceptance_fee, expected_timing
from features.sources.simulated_truth import all_effects, total_link, true_rates

LOANS = 60_000
SEED = 11
OBSERVED_UNTIL = date(2024, 12, 31)
SPLIT = ("personal_business", "sme", "corporate")


def month_number(column: str) -> pl.Expr:
    return pl.col(column).dt.year().cast(pl.Int32) * 12 + pl.col(column).dt.month()


def net_by(months: int) -> pl.Expr:
    cash = pl.col("gross_amount") - pl.col("cost_amount")
    return cash.filter(pl.col("month").is_between(1, months)).sum().alias(f"net_{months}")


@dataclass
class Simulated:
    folder: Path
    tape: pl.DataFrame
    ledger: pl.DataFrame
    complete: pl.DataFrame
    truth: pl.DataFrame
    loans: pl.DataFrame  # truth, what was realised in the end, and the segment, a loan


def load(folder: Path) -> Simulated:
    tape = pl.read_parquet(folder / "tape.parquet")
    truth = pl.read_parquet(folder / "truth" / "truth.parquet")
    complete = pl.read_parquet(folder / "truth" / "ledger_complete.parquet")
    dated = complete.join(tape.select("loan_id", "snapshot_date"), on="loan_id").with_columns(
        month=month_number("period") - month_number("snapshot_date")
    )
    after = pl.col("month") >= 1
    realised = dated.group_by("loan_id").agg(
        *(net_by(months) for months in HORIZONS_MONTHS),
        gross=pl.col("gross_amount").filter(after).sum(),
        cost=pl.col("cost_amount").filter(after).sum(),
        last_posting=pl.col("recorded_at").dt.date().max(),
    )
    secured = (
        pl.when(pl.col("collateral_type").is_null())
        .then(pl.lit("_unsecured"))
        .otherwise(pl.lit("_secured"))
    )
    name = pl.col("asset_class").cast(pl.String)
    loans = (
        tape.select(
            "loan_id",
            "package_id",
            "snapshot_date",
            "closed_date",
            year=pl.col("snapshot_date").dt.year(),
            segment=pl.when(name.is_in(SPLIT)).then(name + secured).otherwise(name),
        )
        .join(truth, on="loan_id", validate="1:1")
        .join(realised, on="loan_id", how="left")
        .with_columns(pl.col("^net_.*|gross|cost$").fill_null(0.0))
    )
    ledger = pl.read_parquet(folder / "ledger.parquet")
    return Simulated(folder, tape, ledger, complete, truth, loans)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    folder = tmp_path_factory.mktemp("simulated") / "portfolio"
    simulate(folder, LOANS, SEED)
    return load(folder)


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def weighted(rate: str) -> pl.Expr:
    claim = pl.col("claim_amount")
    return (pl.col(rate) * claim).sum() / claim.sum()


def test_the_state_councils_fee_table() -> None:
    # Order 481, article 13, worked out by hand in the usual quick form "amount x rate + constant".
    amounts = np.array([8e3, 5e4, 1.5e5, 4e5, 8e5, 1e6, 1.5e6, 4e6, 8e6, 1.5e7, 3e7])
    by_hand = [50, 1050, 3300, 7300, 11800, 13800, 18300, 38800, 67800, 111800, 191800]
    assert acceptance_fee(amounts).tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize(("segment", "year"), PUBLISHED)
def test_levels_lie_in_the_published_ranges(simulated: Simulated, segment: str, year: int) -> None:
    low, high = PUBLISHED[segment, year]
    target = float(LEVELS[SEGMENTS.index(segment), year - FIRST_YEAR])
    loans = simulated.loans.filter(pl.col("segment") == segment, pl.col("year") == year)

    assert low <= target <= high
    # A year's packages differ from the class's usual mix of ages and regions.
    assert loans.select(weighted("prior_gross_rate")).item() == pytest.approx(target, rel=0.15)


@pytest.mark.parametrize("segment", ["residential_mortgage", "credit_card", "consumer"])
def test_levels_fall_over_the_cut_off_years(simulated: Simulated, segment: str) -> None:
    loans = simulated.loans.filter(pl.col("segment") == segment)
    early, late = (
        loans.filter(pl.col("year").is_between(*years)).select(weighted("true_gross_rate")).item()
        for years in ((2019, 2021), (2023, 2024))
    )
    assert late < 0.85 * early


def test_mortgages_pay_as_rated_deals_do(simulated: Simulated) -> None:
    # A deal that brings 64% of the claim: 20, 40, 50% by years 1-3, 0.5% a month in year 5.
    loans = simulated.loans.filter(pl.col("segment") == "residential_mortgage")
    by_year = [loans.select(weighted(f"prior_rate_{m}")).item() for m in (12, 24, 36, 48, 60)]
    share = np.array(by_year) / by_year[-1]
    assert share[:3] == pytest.approx([0.20 / 0.64, 0.40 / 0.64, 0.50 / 0.64], abs=0.03)
    assert (1 - share[3]) * 0.64 / 12 == pytest.approx(0.005, abs=0.001)


def test_cards_are_front_loaded(simulated: Simulated) -> None:
    def first_year(segment: str) -> float:
        loans = simulated.loans.filter(pl.col("segment") == segment)
        return float(loans.select(weighted("true_rate_12") / weighted("true_rate_60")).item())

    assert first_year("credit_card") > 0.5 > first_year("residential_mortgage") + 0.1


def test_costs_are_the_published_shares_of_gross(simulated: Simulated) -> None:
    share = dict(
        simulated.loans.group_by("segment")
        .agg(pl.col("cost").sum() / pl.col("gross").sum())
        .iter_rows()
    )
    assert 0.08 < share["credit_card"] < 0.15
    assert share["auto"] == pytest.approx(0.25, abs=0.02)


def test_most_unsecured_loans_pay_nothing(simulated: Simulated) -> None:
    nothing = dict(
        simulated.loans.group_by("segment").agg((pl.col("gross") == 0).mean()).iter_rows()
    )
    assert nothing["credit_card"] > 0.5
    assert nothing["residential_mortgage"] < 0.25


@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("route", ["collection", "settlement", "auction"])
def test_all_of_a_routes_cash_falls_into_the_workout(
    route: str, secured: bool, judged: bool
) -> None:
    timing = expected_timing(route, secured, judged)
    assert timing.sum() == pytest.approx(1.0, abs=1e-12)
    assert timing.min() >= 0


def test_the_truth_is_what_many_workouts_of_one_loan_bring() -> None:
    """Monte Carlo: the same 56 loans worked out 3,000 times each."""
    rng = np.random.default_rng(5)
    plan, where = draw_packages(rng, 700, 120), places()
    package = np.arange(len(plan.asset_class)).repeat(8)
    block, _ = draw_block(rng, package, plan, where)
    calibration = calibrate()
    effects = all_effects(block, calibration, draw_shocks(rng))
    truth = true_rates(block, effects, calibration.base)
    loans, copies = len(package), 3_000
    many = {name: np.tile(values, copies) for name, values in block.items()}
    level = np.tile(logistic(total_link(effects, calibration.base)), copies)

    _, rows = draw_workouts(rng, many, level)

    net = rows.gross_amount - rows.cost_amount
    for horizon in HORIZONS_MONTHS:
        within = rows.month <= horizon
        brought = np.bincount(rows.loan[within], net[within], minlength=loans * copies)
        rates = (brought / many["claim_amount"]).reshape(copies, loans)
        error = rates.std(axis=0) / math.sqrt(copies)
        # 56 loans at six horizons: the largest of so many standard scores stays below 4.5.
        score = (rates.mean(axis=0) - truth[f"true_rate_{horizon}"]) / error
        assert np.abs(score).max() < 4.5
        assert abs(score.mean()) < 4 / math.sqrt(loans)


def test_the_truth_is_what_the_portfolio_brings(simulated: Simulated) -> None:
    claim = pl.col("claim_amount")
    for months in HORIZONS_MONTHS:
        miss = pl.col(f"net_{months}") / claim - pl.col(f"true_rate_{months}")
        scores = simulated.loans.group_by("segment").agg(
            score=miss.mean() / (miss.std() / pl.len().sqrt())
        )["score"]
        assert scores.abs().max() < 4.0  # type: ignore[operator]


def test_true_rates_never_fall_with_the_horizon(simulated: Simulated) -> None:
    rates = simulated.truth.select(f"true_rate_{m}" for m in HORIZONS_MONTHS).to_numpy()
    assert np.diff(rates, axis=1).min() >= 0
    assert rates.max() < 1
    assert (simulated.truth["true_rate_ultimate"] == simulated.truth["true_rate_60"]).all()


def test_effects_add_up_to_the_link_of_the_level(simulated: Simulated) -> None:
    effects = pl.read_parquet(simulated.folder / "truth" / "effects.parquet")
    parameters = tomllib.loads((simulated.folder / "truth" / "truth.toml").read_text("utf-8"))
    link = parameters["link_base"] + effects.drop("loan_id").to_numpy().sum(axis=1)
    level = simulated.truth["true_gross_rate"].to_numpy()

    assert effects["loan_id"].equals(simulated.tape["loan_id"])
    assert np.log(level / (1 - level)) == pytest.approx(link, abs=1e-9)

    sizes = pl.read_csv(simulated.folder / "truth" / "effects.csv")
    assert set(sizes["driver"]) == set(effects.columns) - {"loan_id"}
    assert sizes["mean_absolute_effect_rate"].is_between(0.001, 0.25).all()


def test_loan_level_fit_of_the_truth_is_that_of_published_models(simulated: Simulated) -> None:
    """Within an asset class: average R2 of LGD models is 0.04 to 0.43 (Loterman et al. 2012)."""
    claim = pl.col("claim_amount")
    fit = simulated.loans.group_by("segment").agg(
        r2=pl.corr(pl.col("net_60") / claim, pl.col("true_rate_60")) ** 2
    )
    assert fit["r2"].is_between(0.1, 0.43).all()


def test_loans_of_a_package_move_together(simulated: Simulated) -> None:
    """Packages miss the mean over the shocks by more than independent loans would."""
    claim = pl.col("claim_amount")
    packages = (
        simulated.loans.group_by("package_id")
        .agg(
            pl.len(),
            against_prior=(pl.col("net_60") / claim - pl.col("prior_rate_60")).mean(),
            against_truth=(pl.col("net_60") / claim - pl.col("true_rate_60")).mean(),
            error=(pl.col("net_60") / claim - pl.col("true_rate_60")).std() / pl.len().sqrt(),
        )
        .filter(pl.col("len") >= 50)
    )

    def spread(column: str) -> float:
        return float(packages.select((pl.col(column) / pl.col("error")).pow(2).mean()).item())

    assert spread("against_truth") == pytest.approx(1.0, abs=0.25)
    assert spread("against_prior") > 1.3


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        simulate(tmp_path / name, 700, seed)
    one, again, other = (fingerprint(tmp_path / name) for name in ("one", "again", "other"))

    assert one == again
    assert len(one) == 8
    # The two descriptions name the seed; every table differs with it.
    assert all(one[name] != other[name] for name in one)


def test_a_later_observation_date_only_adds_what_became_known(tmp_path: Path) -> None:
    simulate(tmp_path / "then", 2_000, 9)
    simulate(tmp_path / "later", 2_000, 9, observed_until_date=date(2031, 12, 31))
    then, later = load(tmp_path / "then"), load(tmp_path / "later")
    outcome = ["closed_date", "disposal_status"]

    assert then.tape.drop(outcome).equals(later.tape.drop(outcome))
    assert then.complete.equals(later.ledger)
    assert then.complete.filter(pl.col("recorded_at").dt.date() <= OBSERVED_UNTIL).equals(
        then.ledger
    )
    assert (later.tape["disposal_status"] != "open").all()


def test_open_workouts_are_censored_and_closed_ones_are_final(simulated: Simulated) -> None:
    tape, loans = simulated.tape, simulated.loans
    is_open = tape["closed_date"].is_null()
    assert is_open.equals((tape["disposal_status"] == "open").rename("closed_date"))
    assert 0.2 < is_open.mean() < 0.5  # type: ignore[operator]
    assert tape["closed_date"].max() <= OBSERVED_UNTIL  # type: ignore[operator]
    closed = loans.filter(pl.col("closed_date").is_not_null())
    assert closed.filter(pl.col("last_posting") > pl.col("closed_date")).is_empty()
    assert closed.filter(pl.col("closed_date") < pl.col("snapshot_date")).is_empty()
    # Of recent vintages, what is closed is what paid soon: closed cases alone mislead.
    recent = loans.filter(pl.col("year") >= 2022)
    of_closed = recent.filter(pl.col("closed_date").is_not_null())["true_rate_60"].mean()
    assert of_closed > 1.3 * recent["true_rate_60"].mean()  # type: ignore[operator]


def test_some_postings_are_late_and_hidden_until_then(simulated: Simulated) -> None:
    days = (pl.col("recorded_at").dt.date() - pl.col("period")).dt.total_days()
    late = simulated.complete.select((days > 45).mean()).item()
    assert 0.01 < late < 0.06
    assert simulated.complete.select(days.min()).item() >= 0
    hidden = simulated.complete.filter(
        pl.col("period") <= OBSERVED_UNTIL, pl.col("recorded_at").dt.date() > OBSERVED_UNTIL
    )
    assert hidden.height > 0
    assert simulated.ledger.join(hidden, on=["loan_id", "period", "route"]).is_empty()


def test_every_row_passes_the_portfolio_check(simulated: Simulated) -> None:
    checked = check_portfolio(read_portfolio(simulated.folder))
    assert checked.faults.tally.rows() == []


def test_ledger_rows_are_one_a_loan_month_and_route(simulated: Simulated) -> None:
    for ledger in (simulated.ledger, simulated.complete):
        assert not ledger.select("loan_id", "period", "route").is_duplicated().any()
        assert ledger.join(simulated.tape, on="loan_id", how="anti").is_empty()
        assert ledger.filter(pl.col("collateral_amount") > pl.col("gross_amount")).is_empty()
    assert simulated.complete.height <= 12 * LOANS


def test_payment_fields_are_those_of_the_ledger(simulated: Simulated) -> None:
    tape = simulated.tape.select("loan_id", "snapshot_date", "paid_last_12m", "last_payment_date")
    before = (
        simulated.ledger.join(tape, on="loan_id")
        .filter(pl.col("period") <= pl.col("snapshot_date"))
        .with_columns(ago=month_number("snapshot_date") - month_number("period"))
    )
    assert before["ago"].max() == 11
    assert before.filter(pl.col("recorded_at").dt.date() > pl.col("snapshot_date")).is_empty()
    sums = before.group_by("loan_id").agg(pl.col("gross_amount").sum(), pl.col("period").max())
    both = tape.join(sums, on="loan_id", how="left").with_columns(
        pl.col("gross_amount").fill_null(0.0)
    )
    known = both.drop_nulls("paid_last_12m")
    assert (known["paid_last_12m"] - known["gross_amount"]).abs().max() < 0.01  # type: ignore[operator]
    paid = both.drop_nulls(["period", "last_payment_date"])
    assert (paid["last_payment_date"].dt.month_start() == paid["period"]).all()


def test_values_are_missing_as_on_real_tapes(simulated: Simulated) -> None:
    missing = simulated.tape.select(pl.all().is_null().mean()).row(0, named=True)
    required = (
        "loan_id borrower_id package_id snapshot_date source_system borrower_type asset_class"
        " original_amount currency guarantee_type principal_outstanding interest_outstanding"
        " days_past_due five_category written_off legal_stage borrower_adcode"
    )
    assert {name for name in required.split() if missing[name] > 0} == set()
    secured = simulated.tape.filter(
        pl.col("guarantee_type").cast(pl.String).is_in(["mortgage", "pledge", "mixed"])
    )
    in_full = ["collateral_type", "collateral_adcode", "appraised_value", "valuation_date"]
    assert secured.select(in_full).null_count().row(0) == (0, 0, 0, 0)
    assert 0.03 < missing["contactable"] < 0.08
    persons = simulated.tape.filter(pl.col("borrower_type") != "enterprise")
    assert 0.10 < persons["annual_income"].is_null().mean() < 0.20  # type: ignore[operator]


def test_the_tape_spans_classes_years_and_provinces(simulated: Simulated) -> None:
    tape = simulated.tape
    assert tape["asset_class"].n_unique() == 7
    assert tape["legal_stage"].n_unique() == 8
    assert sorted(tape["snapshot_date"].dt.year().unique()) == list(range(2015, 2025))
    assert (tape["snapshot_date"] == tape["snapshot_date"].dt.month_end()).all()
    assert tape["borrower_adcode"].str.slice(0, 2).n_unique() == 31
    one_package = tape.group_by("package_id").agg(pl.col("snapshot_date", "asset_class").n_unique())
    assert one_package.select(pl.col("snapshot_date", "asset_class").max()).row(0) == (1, 1)
    of_borrower = tape.group_by("borrower_id").agg(pl.len(), pl.col("borrower_adcode").n_unique())
    assert of_borrower["borrower_adcode"].max() == 1
    assert (of_borrower["len"] == 2).sum() > 100


def test_progress_is_reported_and_arguments_are_checked(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    simulate(tmp_path / "small", 150, 0, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(150, 150)]
    with pytest.raises(SourceError, match="loans: 10 is too few"):
        simulate(tmp_path / "tiny", 10, 0)
    with pytest.raises(SourceError, match="seed: -1 is negative"):
        simulate(tmp_path / "negative", 150, -1)
    with pytest.raises(SourceError, match="observed_until_date: 2014-06-30 is before"):
        simulate(tmp_path / "early", 150, 0, observed_until_date=date(2014, 6, 30))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(PortfolioError, match="no portfolio"):
        simulate(tmp_path / "mine", 150, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "small"]


def test_an_early_observation_date_has_no_later_cut_offs(tmp_path: Path) -> None:
    simulate(tmp_path / "early", 500, 0, observed_until_date=date(2018, 6, 15))
    tape = pl.read_parquet(tmp_path / "early" / "tape.parquet")
    assert tape["snapshot_date"].max() <= date(2018, 5, 31)  # type: ignore[operator]


def test_reference_codes_are_whole() -> None:
    where = places()
    assert len(set(where.adcode)) == len(where.adcode)
    assert all(len(code) == 6 and code.isdigit() for code in where.adcode)
