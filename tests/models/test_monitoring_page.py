"""Pages of monitoring where a month has no alarm band."""

from typing import Any

from models.package_report.monitoring_chart import band_chart
from models.package_report.monitoring_page import render_overview, render_package_monitoring
from tests.html_page import Page

NO_BAND = {"low_amount": None, "high_amount": None, "p_value": None, "ratio": None}


def look(month: str, **changed: Any) -> dict[str, Any]:
    usual = {"month": month, "months": 1.0, "loans": 3, "forecast_amount": 50.0,
             "actual_amount": 40.0, "low_amount": 10.0, "high_amount": 90.0,
             "ratio": 0.8, "p_value": 0.6, "warning": None}  # fmt: skip
    return usual | changed


def known(**more: Any) -> dict[str, Any]:
    usual = {"store_commit": 0, "known_at": "2025-01-02T00:00:00", "currency": "CNY",
             "known_until_date": "2024-12-31", "reporting_lag_months": 1, "level": 0.99,
             "loans": {"valued": 3, "found": 3, "not_found": 0, "incomplete": 0}}  # fmt: skip
    return usual | more


def test_the_band_is_drawn_where_there_is_one() -> None:
    months = [look("2024-01", **NO_BAND, forecast_amount=-20.0), look("2024-02"), look("2024-03"),
              look("2024-04", **NO_BAND)]  # fmt: skip
    chart = band_chart(months, "CNY")
    assert chart is not None
    # One closed outline of two months, there and back; the line has all four and the start.
    assert chart.band.count("Z") == 1
    assert chart.band.count("L") == 3
    assert chart.actual.count("L") == 4
    assert "no alarm band" in chart.says
    # A forecast of costs lies below the axis of nothing.
    below = float(chart.forecast.split(" L")[1].split()[1])
    assert below > chart.bottom
    both = band_chart([look("2024-01"), look("2024-02", **NO_BAND), look("2024-03")], "CNY")
    assert both is not None
    assert both.band.count("Z") == 1


def test_a_package_without_a_band_says_so() -> None:
    document = known(
        package_id="P", valuation_id="V", made_at="2024-01-01", model_version="1",
        model_source="m", first_cut_off_date="2024-01-31", last_cut_off_date="2024-01-31",
        status="insufficient", months=[look("2024-02", **NO_BAND)],
    )  # fmt: skip
    page = Page(render_package_monitoring(document))
    assert page.unbalanced == []
    assert "no band: no cash was forecast" in page.words
    assert "nan" not in page.words.lower()


def test_groups_without_a_band_are_no_looks() -> None:
    rows = [
        look("", package_id=name, model_version="1", status="within", adjusted_p_value=1.0)
        for name in ("P", "Q")
    ]
    rows.append(rows[0] | NO_BAND | {"package_id": "R", "adjusted_p_value": None})
    document = known(packages=rows, vintages=[], models=[], alarms=[], curves={}, left_out=[])
    page = Page(render_overview(document))
    assert page.unbalanced == []
    assert "2 groups with a band: 0.02 would be outside by chance" in page.words
