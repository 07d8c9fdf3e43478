"""The summary: ten lines, each with its light, and the light of the whole."""

from collections.abc import Callable
from typing import Any, Final

from training.report.part import Light, worst
from training.report.schema import Report, SummaryLine
from training.report.sections.accuracy import OURS
from training.report.sections.correction import segment_name
from training.report.sections.coverage import NOMINAL
from training.report.sections.timing import ALL
from training.report.subject import ORIGINAL
from training.report.words import Words

_NAMED: Final = 4
Line = Callable[[Report, Words], tuple[Light | None, str]]


def summary_lines(report: Report) -> tuple[SummaryLine, ...]:
    """Ten lines in both languages.

    Parameters
    ----------
    report : Report
        With all its sections.
    """
    english, chinese = (words_of(report, language) for language in ("en", "zh"))
    lines = []
    for topic, write in _TOPICS.items():
        light, en = write(report, english)
        lines.append(SummaryLine(topic=topic, light=light, en=en, zh=write(report, chinese)[1]))
    return tuple(lines)


def overall_light(lines: tuple[SummaryLine, ...]) -> Light | None:
    """Red for a red deviation or a suspected leak, amber for any other light but green."""
    decisive = [line.light for line in lines if line.topic in ("deviation", "leakage")]
    rest = [line.light for line in lines if line.topic not in ("deviation", "leakage")]
    softened: Light | None = worst(rest)
    return worst([*decisive, "amber" if softened == "red" else softened])


def words_of(report: Report, language: Any) -> Words:
    """Words of a report, with the money unit that suits its exposure."""
    return Words(language, report.about.currency, report.data.judged_ead_amount)


def _deviation(report: Report, words: Words) -> tuple[Light | None, str]:
    found = next(v.cash for v in report.views if v.headline)
    months = report.about.horizon_months
    text = words(
        "summary.deviation",
        basis=words(f"data_view.short_{report.about.data_view}", months=months),
        loans=words.number("count", found.loans),
        forecast=words.money(found.forecast_amount),
        actual=words.money(found.actual_amount),
        rate=words.number("signed", found.deviation_rate),
        low=words.number("signed", found.low_rate),
        high=words.number("signed", found.high_rate),
    )
    again = [r for r in report.reforecasts if r.data_view == report.about.data_view]
    latest = next((r.cash.deviation_rate for r in again if r.forecast_of != ORIGINAL), None)
    if latest is not None:
        first = next(r.cash.deviation_rate for r in again if r.forecast_of == ORIGINAL)
        text += words(
            "summary.reforecast",
            first=words.number("signed", first),
            latest=words.number("signed", latest),
        )
    return found.light, text


def _accuracy(report: Report, words: Words) -> tuple[Light | None, str]:
    figures = {(m.name, m.weighted_by): m.value for m in report.accuracy.measures}
    text = words(
        "summary.accuracy",
        r2=words.number("figure", figures["r2", "loan"]),
        mae=words.number("figure", figures["mae", "loan"]),
        weighted=words.number("figure", figures["r2", "ead"]),
    )
    rivals = {r.model: r for r in report.accuracy.rivals}
    if OURS in rivals and len(rivals) > 1:
        best = min((r for n, r in rivals.items() if n != OURS), key=lambda r: r.rmse)
        text += words(
            "summary.rival",
            model=words.known("rival", best.model),
            theirs=words.number("figure", best.rmse),
            ours=words.number("figure", rivals[OURS].rmse),
        )
    return report.accuracy.light, text


def _segments(report: Report, words: Words) -> tuple[Light | None, str]:
    flagged = [
        (part.dimension, s)
        for part in report.segments.dimensions
        for s in part.segments
        if s.flagged
    ]
    flagged.sort(key=lambda f: (f[1].corrected_p_value or 0.0, f[0], f[1].level))
    tested = report.segments.tested
    if not flagged:
        return "green", words("summary.no_segments", tested=tested)
    named = words("word.list_join").join(
        f"{_named(name, s.level, words)} {words.number('signed', s.cash.deviation_rate)}"
        for name, s in flagged[:_NAMED]
    )
    more = len(flagged) - _NAMED
    if more > 0:
        named += words("summary.more", count=more)
    light = worst([s.cash.light for _, s in flagged])
    text = words("summary.segments", flagged=len(flagged), tested=tested, named=named)
    return worst(["amber", light]), text


def _named(dimension: str, level: str, words: Words) -> str:
    """Level in words; a year says of what."""
    told = words.level(dimension, level)
    if not told.isdecimal():
        return told
    return words("summary.year", dimension=words(f"dimension.{dimension}"), level=told)


def _timing(report: Report, words: Words) -> tuple[Light | None, str]:
    whole = next((t for t in report.timing if t.dimension == ALL), None)
    if whole is None or whole.late_months is None:
        return None, words("summary.no_timing")
    side = "late" if whole.late_months >= 0 else "early"
    return whole.light, words(
        f"summary.{side}",
        months=words.number("months", abs(whole.late_months)),
        low=words.number("months_signed", whole.late_low_months),
        high=words.number("months_signed", whole.late_high_months),
        forecast=words.number("months", whole.half_forecast_months),
        actual=words("timing.not_yet", months=whole.horizon_months)
        if whole.half_actual_months is None
        else words.number("months", whole.half_actual_months),
    )


def _loss(report: Report, words: Words) -> tuple[Light | None, str]:
    own = [r for r in report.default_age.tests if r.data_view == report.about.data_view]
    whole = next(r for r in own if r.years_in_default is None)
    if whole.mean_difference is None:
        return None, words("summary.no_loss")
    failed = [r for r in own if r.years_in_default is not None and r.light not in (None, "green")]
    years = words("word.list_join").join(str(r.years_in_default) for r in failed)
    return worst([r.light for r in own]), words(
        "summary.loss_years" if failed else "summary.loss",
        points=words.number("points", whole.mean_difference),
        two=words.number("p", whole.elbe_p_value),
        one=words.number("p", whole.lgd_p_value),
        years=years,
    )


def _discrimination(report: Report, words: Words) -> tuple[Light | None, str]:
    found = report.discrimination
    return found.light, words(
        "summary.discrimination",
        auc=words.number("figure", found.auc),
        error=words.number("figure", found.standard_error),
        capture=words.number("rate0", found.loss_capture_ratio),
    )


def _coverage(report: Report, words: Words) -> tuple[Light | None, str]:
    found = report.coverage
    if not found.loans:
        return None, words("summary.no_coverage")
    whole = found.loans[0]
    text = words(
        "summary.coverage",
        rate=words.number("rate", whole.coverage_rate),
        nominal=words.number("rate0", NOMINAL),
    )
    for tally in found.tallies:
        text += words(f"summary.{tally.kind}s", within=tally.within, told=tally.told)
    return whole.light, text


def _stability(report: Report, words: Words) -> tuple[Light | None, str]:
    found = report.stability
    moved = [f for f in found.features if f.light in ("amber", "red")]
    red = sum(f.light == "red" for f in moved)
    told = [f.light for f in found.features] + [found.light]
    return worst(told), words(
        "summary.stability",
        features=sum(f.psi is not None for f in found.features),
        amber=len(moved) - red,
        red=red,
        psi=words.number("figure", found.forecast_psi),
    )


def _leakage(report: Report, words: Words) -> tuple[Light | None, str]:
    found = report.leakage
    key = "leak" if found.suspected else "leak_r2" if found.light == "amber" else "no_leak"
    names = [words.meaning(f.meaning_en, f.meaning_zh) for f in found.features if f.suspected_for]
    return found.light, words(
        f"summary.{key}",
        features=words("word.list_join").join(names[:_NAMED]),
        r2=words.number("figure", found.r2),
        limit=words.number("decimal", found.r2_limit),
    )


def _correction(report: Report, words: Words) -> tuple[Light | None, str]:
    found = report.corrections
    if not found.proofs:
        return found.light, words("summary.no_correction")
    harmful = [p for p in found.proofs if p.harm]
    helped = sum(p.harm is False for p in found.proofs)
    text = words("summary.correction", count=len(found.proofs), helped=helped, harmed=len(harmful))
    if harmful:
        named = words("word.list_join").join(segment_name(p, words) for p in harmful[:_NAMED])
        text += words("summary.harm", segments=named)
    return found.light, text


_TOPICS: Final[dict[str, Line]] = {
    "deviation": _deviation,
    "accuracy": _accuracy,
    "segments": _segments,
    "timing": _timing,
    "loss": _loss,
    "discrimination": _discrimination,
    "coverage": _coverage,
    "stability": _stability,
    "leakage": _leakage,
    "correction": _correction,
}
