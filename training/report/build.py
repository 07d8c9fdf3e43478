"""A backtest made into a report."""

from models.correction_book import CorrectionBook
from training.backtest import Backtest
from training.report.cash import clusters_of
from training.report.changes import changes_since
from training.report.part import Thresholds
from training.report.schema import About, Report
from training.report.sections import (
    accuracy,
    calibration,
    correction,
    coverage,
    curves,
    data,
    default_age,
    discrimination,
    leakage,
    limits,
    misses,
    reforecast,
    reproduction,
    segments,
    stability,
    timing,
    views,
)
from training.report.subject import WALK_FORWARD, Subject
from training.report.summary import overall_light, summary_lines, words_of


def build_report(
    backtest: Backtest,
    *,
    book: CorrectionBook | None = None,
    previous: Report | None = None,
    thresholds: Thresholds | None = None,
) -> Report:
    """Figures of every section, the summary and what changed.

    Parameters
    ----------
    backtest : Backtest
        Forecasts held against outcomes.
    book : CorrectionBook, optional
        Corrections to be proven.
    previous : Report, optional
        The last report of the same portfolio.
    thresholds : Thresholds, optional
        Limits of the lights; by default those of practice.

    Raises
    ------
    TrainingError
        When nothing can be judged, a loan is counted twice, or totals do not tie.
    """
    limits_of_lights = thresholds or Thresholds()
    subject = Subject(backtest, limits_of_lights)
    meta = backtest.meta
    accurate = accuracy.figures(subject)
    report = Report(
        about=About(
            portfolio=meta.name,
            source_system=meta.source_system,
            currency=meta.currency,
            observed_until_date=meta.observed_until_date,
            recovery_basis=meta.recovery_basis,
            recovery_timing=meta.recovery_timing,
            model_view=WALK_FORWARD,
            window=subject.window,
            data_view=subject.data_view,
            horizon_months=subject.horizon_months,
        ),
        light=None,
        summary=(),
        since_last=None,
        data=data.figures(subject),
        accuracy=accurate,
        views=views.figures(subject),
        segments=segments.figures(subject),
        reforecasts=reforecast.figures(subject),
        curves=curves.figures(subject),
        timing=timing.figures(subject),
        calibration=calibration.figures(subject),
        discrimination=discrimination.figures(subject),
        default_age=default_age.figures(subject),
        stability=stability.figures(subject),
        coverage=coverage.figures(subject),
        corrections=correction.figures(subject, book),
        misses=misses.figures(subject),
        leakage=leakage.figures(subject, accurate),
        limits=limits.figures(subject, clusters_of(subject.judged)[1] is None),
        reproduction=reproduction.figures(subject),
        thresholds=limits_of_lights,
    )
    lines = summary_lines(report)
    report = report.model_copy(update={"summary": lines, "light": overall_light(lines)})
    if previous is None:
        return report
    changes = changes_since(previous, report, words_of(report, "en"), words_of(report, "zh"))
    return report.model_copy(update={"since_last": changes})
