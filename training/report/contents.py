"""The sections of a report in order, in one language: what page and workbook both show."""

from training.report.blocks import Block, Facts, Lights, Section, Text
from training.report.schema import Report
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
from training.report.words import Words


def sections(report: Report, words: Words) -> list[Section]:
    """All sections of a report.

    Parameters
    ----------
    report : Report
        The document.
    words : Words
        Its language.
    """
    months, limits_of_lights = report.about.horizon_months, report.thresholds
    parts: dict[str, list[Block]] = {
        "summary": _summary(report, words),
        "data": data.blocks(report.data, words),
        "accuracy": accuracy.blocks(report.accuracy, words),
        "views": views.blocks(report.views, words, limits_of_lights),
        "segments": segments.blocks(report.segments, words, limits_of_lights),
        "reforecast": reforecast.blocks(report.reforecasts, words, months),
        "curves": curves.blocks(report.curves, words),
        "timing": timing.blocks(report.timing, words),
        "calibration": calibration.blocks(report.calibration, words),
        "discrimination": discrimination.blocks(report.discrimination, words),
        "default_age": default_age.blocks(report.default_age, words, months),
        "stability": stability.blocks(report.stability, words, limits_of_lights),
        "coverage": coverage.blocks(report.coverage, words),
        "correction": correction.blocks(report.corrections, words),
        "misses": misses.blocks(report.misses, words),
        "leakage": leakage.blocks(report.leakage, words),
        "limits": limits.blocks(report.limits, words),
        "reproduction": reproduction.blocks(report.reproduction, limits_of_lights, words),
    }
    return [
        Section(name.replace("_", "-"), words(f"section.{name}"), blocks)
        for name, blocks in parts.items()
    ]


def about(report: Report, words: Words) -> Facts:
    """What was judged, for the head of the page."""
    told = report.about
    return Facts(
        [
            (words("about.portfolio"), told.portfolio),
            (words("about.observed"), told.observed_until_date.isoformat()),
            (words("about.currency"), told.currency),
            (words("about.basis"), words(f"basis.{told.recovery_basis}")),
            (words("about.model_view"), words(f"model_view.short_{told.model_view}")),
            (
                words("about.data_view"),
                words(f"data_view.short_{told.data_view}", months=told.horizon_months),
            ),
        ]
    )


def _summary(report: Report, words: Words) -> list[Block]:
    chinese = words.language == "zh"
    lines = [
        (line.light, words(f"topic.{line.topic}"), line.zh if chinese else line.en)
        for line in report.summary
    ]
    limits_of_lights = report.thresholds
    shown: list[Block] = [
        Lights(lines),
        Text(
            words(
                "summary.rule",
                amber=words.number("rate0", limits_of_lights.amber_deviation_rate),
                red=words.number("rate0", limits_of_lights.red_deviation_rate),
            ),
            "note",
        ),
        Text(words("summary.since"), "heading"),
    ]
    if report.since_last is None:
        shown.append(Text(words("summary.no_previous")))
        return shown
    last = report.since_last
    day = last.previous_observed_until_date.isoformat()
    key = "summary.changes" if last.changes else "summary.unchanged"
    shown.append(Text(words(key, day=day)))
    shown += [Text(c.zh if chinese else c.en, "item") for c in last.changes]
    return shown
