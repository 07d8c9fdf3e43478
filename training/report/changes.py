"""What changed since the last report: figures that moved, segments flagged anew or no longer."""

from collections.abc import Callable
from typing import Final

from training.errors import TrainingError
from training.report.schema import Change, Changes, Report
from training.report.words import Kind, Words, said

_FIGURES: Final[dict[str, tuple[Kind, Callable[[Report], float | None]]]] = {
    "judged_loans": ("count", lambda r: r.data.judged_loans),
    "deviation": ("signed", lambda r: next(v.cash.deviation_rate for v in r.views if v.headline)),
    "r2": ("figure", lambda r: r.accuracy.measures[0].value),
    "mae": ("figure", lambda r: r.accuracy.measures[1].value),
    "auc": ("figure", lambda r: r.discrimination.auc),
    "coverage": ("rate", lambda r: r.coverage.loans[0].coverage_rate if r.coverage.loans else None),
    "late_months": ("months_signed", lambda r: r.timing[0].late_months if r.timing else None),
}


def key_figures(report: Report) -> dict[str, float | None]:
    """Figures that reports are compared by, by name."""
    return {name: read(report) for name, (_, read) in _FIGURES.items()}


def changes_since(previous: Report, now: Report, english: Words, chinese: Words) -> Changes:
    """Differences between two reports of one portfolio.

    Parameters
    ----------
    previous, now : Report
        The last report and this one.
    english, chinese : Words
        Words of this one.

    Raises
    ------
    TrainingError
        When they are of different portfolios or in different currencies.
    """
    for name in ("portfolio", "currency"):
        before, after = getattr(previous.about, name), getattr(now.about, name)
        if before != after:
            raise TrainingError(
                f"the last report has {name} {before!r}, this one {after!r}; give the last report"
                " of the same portfolio"
            )
    found = [*_about(previous, now), *_figures(previous, now, english, chinese)]
    found += _flags(previous, now, english, chinese)
    if previous.light != now.light:
        found.insert(0, _light(previous, now))
    return Changes(
        previous_data_hash=previous.reproduction.data_hash,
        previous_observed_until_date=previous.about.observed_until_date,
        changes=tuple(found),
    )


def _light(previous: Report, now: Report) -> Change:
    texts = {
        language: said(
            "change.light",
            language,
            before=said(f"light.{previous.light or 'none'}", language),
            now=said(f"light.{now.light or 'none'}", language),
        )
        for language in ("en", "zh")
    }
    return Change(topic="light", before=previous.light, now=now.light, **texts)


def _about(previous: Report, now: Report) -> list[Change]:
    pairs = {
        "horizon": (previous.about.horizon_months, now.about.horizon_months),
        "thresholds": (str(previous.thresholds), str(now.thresholds)),
    }
    return [
        Change(
            topic=topic,
            before=before,
            now=after,
            **{language: said(f"change.{topic}", language) for language in ("en", "zh")},
        )
        for topic, (before, after) in pairs.items()
        if before != after
    ]


def _figures(previous: Report, now: Report, english: Words, chinese: Words) -> list[Change]:
    found = []
    for topic, (kind, read) in _FIGURES.items():
        before, after = read(previous), read(now)
        if before == after:
            continue
        texts = {
            words.language: words(
                f"change.{topic}",
                before=words.number(kind, before),
                now=words.number(kind, after),
            )
            for words in (english, chinese)
        }
        found.append(Change(topic=topic, before=before, now=after, **texts))
    return found


def _flags(previous: Report, now: Report, english: Words, chinese: Words) -> list[Change]:
    before, after = (
        {(d.dimension, s.level) for d in r.segments.dimensions for s in d.segments if s.flagged}
        for r in (previous, now)
    )
    found = []
    for topic, levels in (("flagged", after - before), ("unflagged", before - after)):
        for dimension, level in sorted(levels):
            texts = {
                words.language: words(
                    f"change.{topic}",
                    segment=f"{words(f'dimension.{dimension}')} · {words.level(dimension, level)}",
                )
                for words in (english, chinese)
            }
            found.append(Change(topic=topic, before=None, now=f"{dimension} = {level}", **texts))
    return found
