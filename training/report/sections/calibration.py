"""Calibration: estimates against outcomes by tenth of the forecast and by the ECB's 12 segments."""

import numpy as np
from pydantic import Field

from training.report.blocks import Block, Column, Figure, Table, Text
from training.report.part import Part
from training.report.subject import Subject
from training.report.words import Words
from training.report.xy_chart import Axis, Line, xy_chart
from training.validation.accuracy import calibration_table
from training.validation.deviation import money_bias
from training.validation.rate_segments import LABELS, segment_of
from training.validation.t_tests import lgd_t_test
from training.validation.thin import LEAST_LOANS


class Tenth(Part):
    """A tenth of the loans in order of forecast."""

    tenth: int
    loans: int
    ead_amount: float
    lowest_rate: float
    highest_rate: float
    forecast_rate: float = Field(description="Recovery, by EAD.")
    actual_rate: float
    deviation_rate: float | None


class LossSegment(Part):
    """One of the twelve segments of the estimated LGD."""

    segment: str
    loans: int
    ead_amount: float
    estimated_lgd: float | None = Field(description="Mean over loans.")
    realised_lgd: float | None
    p_value: float | None = Field(description="One-sided LGD test: losses were not underestimated.")


class Calibration(Part):
    """Calibration of the headline's forecasts."""

    tenths: tuple[Tenth, ...]
    loss_segments: tuple[LossSegment, ...]
    loss_bias_rate: float | None = Field(
        description="sum(estimated LGD x EAD) / sum(LGD x EAD) - 1; above 0: cautious."
    )
    loss_bias_low: float | None
    loss_bias_high: float | None


def figures(subject: Subject) -> Calibration:
    """Calibration by tenth and by loss segment."""
    judged = subject.judged
    actual, forecast = judged["actual"].to_numpy(), judged["forecast"].to_numpy()
    ead = judged["ead_amount"].to_numpy()
    tenths = calibration_table(actual, forecast, ead).drop("note")
    estimated, realised = 1 - forecast, 1 - actual
    held = segment_of(estimated)
    bias = money_bias(estimated, realised, ead)
    return Calibration(
        tenths=tuple(Tenth(**row) for row in tenths.iter_rows(named=True)),
        loss_segments=tuple(
            _segment(label, held == place, estimated, realised, ead)
            for place, label in enumerate(LABELS)
        ),
        loss_bias_rate=bias.rate,
        loss_bias_low=bias.interval.low,
        loss_bias_high=bias.interval.high,
    )


def _segment(
    label: str,
    held: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    estimated: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    realised: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    ead: "np.ndarray[tuple[int], np.dtype[np.float64]]",
) -> LossSegment:
    count = int(held.sum())
    enough = count >= LEAST_LOANS
    return LossSegment(
        segment=label,
        loans=count,
        ead_amount=float(ead[held].sum()),
        estimated_lgd=float(estimated[held].mean()) if count else None,
        realised_lgd=float(realised[held].mean()) if count else None,
        p_value=lgd_t_test(realised[held], estimated[held]).p_value if enough else None,
    )


def blocks(calibration: Calibration, words: Words) -> list[Block]:
    """Draw tenths on the diagonal, and show both tables."""
    points = [(t.forecast_rate, t.actual_rate) for t in calibration.tenths]
    axis = Axis(words("axis.forecast_rate"), lambda v: words.number("rate0", v))
    up = Axis(words("axis.actual_rate"), lambda v: words.number("rate0", v))
    title = words("calibration.figure")
    drawing = xy_chart(
        "calibration", title, [Line(words("calibration.tenths"), points, "dashed", "circle")],
        axis, up, diagonal=words("calibration.equal"), height=330.0,
    )  # fmt: skip
    tenths = [
        Column("tenth", words("column.tenth"), "count"),
        Column("loans", words("column.loans"), "count"),
        Column("ead_amount", words("column.ead", unit=words.money_unit), "money"),
        Column("lowest_rate", words("column.lowest"), "rate"),
        Column("highest_rate", words("column.highest"), "rate"),
        Column("forecast_rate", words("column.forecast_rate"), "rate"),
        Column("actual_rate", words("column.actual_rate"), "rate"),
        Column("deviation_rate", words("column.deviation"), "signed"),
    ]
    losses = [
        Column("segment", words("column.loss_segment")),
        Column("loans", words("column.loans"), "count"),
        Column("ead_amount", words("column.ead", unit=words.money_unit), "money"),
        Column("estimated_lgd", words("column.estimated_lgd"), "rate"),
        Column("realised_lgd", words("column.realised_lgd"), "rate"),
        Column("p_value", words("column.p_one_sided"), "p"),
    ]
    rows = [
        s.model_dump()
        | ({"p_value": words("word.too_few")} if s.loans and s.p_value is None else {})
        for s in calibration.loss_segments
    ]
    return [
        Text(words("calibration.lead")),
        Figure(title, (drawing,)),
        Table("calibration-tenths", words("calibration.by_tenth"), tenths,
              [t.model_dump() for t in calibration.tenths]),
        Table("calibration-segments", words("calibration.by_segment"), losses, rows),
        Text(_bias(calibration, words)),
    ]  # fmt: skip


def _bias(calibration: Calibration, words: Words) -> str:
    if calibration.loss_bias_rate is None:
        return words("calibration.no_loss")
    side = "cautious" if calibration.loss_bias_rate >= 0 else "optimistic"
    return words(
        f"calibration.bias_{side}",
        rate=words.number("signed", calibration.loss_bias_rate),
        low=words.number("signed", calibration.loss_bias_low),
        high=words.number("signed", calibration.loss_bias_high),
    )
