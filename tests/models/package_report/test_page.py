"""The page parses, loads nothing, escapes what it is given, and shows the valuation's figures."""

import re
from dataclasses import replace

import polars as pl
import pytest

from features.portfolio import Portfolio, read_portfolio
from features.sources.simulated import simulate
from models.bundle import Bundle, Provenance
from models.package import PackageValuation, value_package
from models.package_report.charts import cash_chart, waterfall_chart
from models.package_report.page import render_page
from models.scoring import score_loans
from models.wording import short_amount
from tests.html_page import Page
from training.dataset import training_set
from training.fit import fit_recovery
from training.settings import FitSettings

HOSTILE = '<script>alert("1")</script>&"\'{{ 7 * 7 }}'


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    folder = tmp_path_factory.mktemp("page") / "portfolio"
    simulate(folder, 600, 3)
    return read_portfolio(folder)


@pytest.fixture(scope="module")
def bundle(portfolio: Portfolio) -> Bundle:
    figures = {"r2": 0.41, "mae": 0.123, "rmse": 0.2, "spearman": 0.6, "deviation": -0.031}
    about = {"loans": 81, "held_out_from": "2021-01-01", "horizon_months": 24}
    return Bundle(
        model=fit_recovery(training_set(portfolio), FitSettings()),
        portfolio=portfolio.meta,
        provenance=Provenance(
            data_hash="ab" * 32, git_commit=None, versions={}, known_on="2024-12-31", settings={}
        ),
        accuracy=[
            {"model": "npl-recovery", **figures, **about},
            {"model": "overall mean", **figures, "spearman": None, **about},
        ],
    )


@pytest.fixture(scope="module")
def scores(portfolio: Portfolio, bundle: Bundle) -> pl.DataFrame:
    return score_loans(bundle.model, portfolio.tape, portfolio.ledger, explain=True)


@pytest.fixture(scope="module")
def valuation(portfolio: Portfolio, bundle: Bundle, scores: pl.DataFrame) -> PackageValuation:
    return value_package(scores, portfolio.tape.collect(), bundle.model, portfolio.meta)


@pytest.fixture(scope="module")
def html(valuation: PackageValuation, bundle: Bundle) -> str:
    return render_page(valuation, bundle)


def test_the_page_is_well_formed_and_loads_nothing(html: str) -> None:
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert page.unbalanced == []
    assert page.open == []
    assert {"script", "link", "img", "iframe", "object", "a"}.isdisjoint(page.tags)
    assert not re.search(r"https?:|//\w|@import|url\((?!#)", html)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not [name for _, name, _ in page.attributes if name in ("src", "href")]


def test_the_page_is_the_same_for_the_same_valuation(
    html: str, valuation: PackageValuation, bundle: Bundle
) -> None:
    assert render_page(valuation, bundle) == html


def test_the_page_says_what_it_is(html: str, valuation: PackageValuation, bundle: Bundle) -> None:
    words = Page(html).words
    for said in (
        "Value analysis support",
        "not an appraisal",
        "价值分析",
        bundle.version,
        valuation.title,
        "2021-01-01",
        *valuation.meta.notes,
    ):
        assert said in words


def test_the_figures_on_the_page_are_those_of_the_scores(html: str, scores: pl.DataFrame) -> None:
    words = Page(html).words
    expected = sum(e * r for e, r in scores.select("ead", "recovery_rate").iter_rows())
    ead = sum(scores["ead"])
    assert f"{expected:,.0f}" in words
    assert f"{ead:,.0f}" in words
    assert f"{expected / ead:.1%}" in words
    for months in ("06", "24", "60"):
        cash = sum(e * r for e, r in scores.select("ead", f"recovery_rate_{months}m").iter_rows())
        assert f"{cash:,.0f}" in words


def test_charts_speak_to_those_who_cannot_see_them(html: str, valuation: PackageValuation) -> None:
    labels = [v for tag, name, v in Page(html).attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == 3
    assert all(label and len(label) > 40 for label in labels)
    assert labels[1] is not None
    assert labels[1].count("Collateral") == 1
    assert short_amount(valuation.expected_recovery_amount) in labels[1]


def test_hostile_text_is_shown_as_text(
    portfolio: Portfolio, bundle: Bundle, scores: pl.DataFrame
) -> None:
    largest = scores.sort("ead", descending=True)["loan_id"][0]
    swap = pl.col("loan_id").replace({largest: HOSTILE})
    tape = portfolio.tape.collect().with_columns(swap, package_id=pl.lit(HOSTILE))
    meta = portfolio.meta.model_copy(update={"notes": (HOSTILE,), "name": HOSTILE})
    aside = pl.DataFrame({"loan_id": ["x"], "reason": [HOSTILE]})
    flagged = scores.with_columns(swap, flags=pl.lit(HOSTILE))
    both = pl.concat([flagged, aside], how="diagonal")
    html = render_page(value_package(both, tape, bundle.model, meta), bundle)
    page = Page(html)
    assert "script" not in page.tags
    assert page.unbalanced == []
    # Title, heading, portfolio, note, reason, flag, and the largest loan.
    assert page.words.count(HOSTILE) >= 7


def test_a_package_with_little_known_still_has_its_page(
    portfolio: Portfolio, bundle: Bundle, scores: pl.DataFrame
) -> None:
    plain = scores.select(
        "loan_id", "ead", "recovery_rate", "expected_recovery_amount", "flags", "reason"
    )
    tape = portfolio.tape.collect().drop(
        "five_category", "legal_stage", "written_off", "interest_outstanding"
    )
    undated = replace(bundle.model, timing=None)
    meta = portfolio.meta.model_copy(update={"currency": "USD"})
    valuation = value_package(plain, tape, undated, meta)
    words = Page(render_page(valuation, replace(bundle, accuracy=[]))).words
    assert "Not dated" in words
    assert "scored without explanation" in words
    assert "no out-of-time accuracy" in words
    assert "万元" not in words
    for said in valuation.left_out:
        assert said in words


def test_a_package_without_forecasts_has_its_page(
    portfolio: Portfolio, bundle: Bundle, scores: pl.DataFrame
) -> None:
    kept = ("loan_id", "ead", "flags")
    nothing = scores.select(
        pl.col(name) if name in kept else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in scores.schema.items()
    ).with_columns(reason=pl.lit("no reason at all"))
    empty = value_package(nothing, portfolio.tape.collect(), bundle.model, portfolio.meta)
    words = Page(render_page(empty, bundle)).words
    assert "no reason at all" in words
    assert cash_chart(empty) is None


def test_the_waterfall_ends_where_the_expected_recovery_begins(
    valuation: PackageValuation,
) -> None:
    chart = waterfall_chart(valuation)
    assert chart is not None
    start, *groups, end = chart.marks
    scale = end.width / valuation.expected_recovery_amount
    assert valuation.base_amount is not None
    assert start.width == pytest.approx(valuation.base_amount * scale)
    for mark, moved in zip(groups, valuation.groups["amount"], strict=True):
        assert mark.width == pytest.approx(max(abs(moved) * scale, 1.0))
        assert mark.kind == ("up" if moved >= 0 else "down")


def test_the_largest_loans_say_why_in_both_languages(
    html: str, valuation: PackageValuation
) -> None:
    text = Page(html).words
    for loan in valuation.largest.iter_rows(named=True):
        assert " ".join(loan["why_en"].split()) in text
        assert loan["why_zh"] in text


def test_the_page_dates_itself_by_its_cut_offs(html: str, valuation: PackageValuation) -> None:
    first, last = valuation.cut_off_dates
    assert first < last
    assert f"{first} – {last}" in Page(html).words
