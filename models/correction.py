"""Corrections of forecasts by segment: what one is, and which of them a loan takes.

A correction multiplies the forecast rates of a segment by a factor that a person has approved. It
is data beside a model, never part of it: the model's own forecast can always be told from it.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from features.segments import DIMENSIONS

Array = NDArray[np.float64]
State = Literal["proposed", "approved", "rejected", "expired"]
Named = Annotated[str, Field(min_length=1, pattern=r"\S")]
VINTAGE_COLUMNS: Final = ("cut_off_date", "origination_date")


class Evidence(BaseModel):
    """What a correction was fitted on.

    Attributes
    ----------
    loans, vintages : int
        Loans of the segment with a known outcome, and vintages they are of.
    first_vintage, last_vintage : datetime.date
        Of those loans.
    horizon_months : int, optional
        Horizon of the rates; missing: the ultimate.
    forecast_amount, actual_amount : float
        Cash, currency.
    ratio : float
        Actual over forecast cash, before credibility.
    ratio_low, ratio_high : float, optional
        95% bootstrap interval of the ratio; missing where too few units could tell.
    p_value : float
        Of the segment's deviation from 1, after Holm's correction for all segments tried.
    data_hash : str
        SHA-256 of the table of forecasts and outcomes.
    model_version : str
        Version of the bundle whose forecasts it corrects.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loans: int = Field(gt=0)
    vintages: int = Field(gt=0)
    first_vintage: date
    last_vintage: date
    horizon_months: int | None
    forecast_amount: float = Field(gt=0)
    actual_amount: float
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    p_value: float = Field(ge=0, le=1)
    data_hash: str
    model_version: Named


class Proposal(BaseModel):
    """A correction as it was fitted; nothing of it changes afterwards.

    Attributes
    ----------
    conditions : dict of str to str
        Segment: dimension of `features.segments.DIMENSIONS` -> level. A loan is of the segment when
        all hold.
    vintage_by : {"cut_off_date", "origination_date"}
        What dates a vintage.
    vintages_from : datetime.date
        First vintage it is for. Later than any it was fitted on.
    factor : float
        Multiplier of forecast rates, credibility-weighted.
    credibility : float
        Weight of the segment's own ratio, 0 to 1; the rest is the weight of 1.
    evidence : Evidence
        What it was fitted on.
    proposed_by, reason : str
        Who proposes it, and why.
    proposed_on : datetime.date
        When.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditions: dict[str, str] = Field(min_length=1)
    vintage_by: Literal["cut_off_date", "origination_date"]
    vintages_from: date
    factor: float = Field(ge=0, allow_inf_nan=False)
    credibility: float = Field(ge=0, le=1)
    evidence: Evidence
    proposed_by: Named
    proposed_on: date
    reason: Named

    @model_validator(mode="after")
    def _fits_together(self) -> "Proposal":
        unknown = sorted(set(self.conditions) - set(DIMENSIONS))
        if unknown:
            raise ValueError(f"no dimension {', '.join(unknown)}; use {', '.join(DIMENSIONS)}")
        if self.vintages_from <= self.evidence.last_vintage:
            raise ValueError(
                f"vintages_from {self.vintages_from} must be later than the last vintage it was"
                f" fitted on, {self.evidence.last_vintage}"
            )
        return self

    @property
    def id(self) -> str:
        """First 12 digits of the SHA-256 of its content."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def segment(self) -> str:
        """The segment in words, dimensions in order of name.

        `region = CN-GD, asset_class = sme` is one.
        """
        return ", ".join(f"{name} = {self.conditions[name]}" for name in sorted(self.conditions))


class Correction(BaseModel):
    """A proposal with what was decided of it.

    Attributes
    ----------
    proposal : Proposal
        What was fitted.
    decision : {"proposed", "approved", "rejected", "expired"}
        The last thing decided. An approved correction also expires by its date: see `state`.
    approver, decision_reason : str, optional
        Who decided last, and why.
    decided_on : datetime.date, optional
        When.
    valid_from, expires_on : datetime.date, optional
        Days it is in force: from the first on, up to and without the second.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    proposal: Proposal
    decision: State = "proposed"
    approver: str | None = None
    decision_reason: str | None = None
    decided_on: date | None = None
    valid_from: date | None = None
    expires_on: date | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> str:
        """Identifier of the proposal."""
        return self.proposal.id

    def state(self, on: date) -> State:
        """State on a day; an approval past its expiry is expired."""
        if self.decision == "approved" and self.expires_on is not None and on >= self.expires_on:
            return "expired"
        return self.decision

    def in_force(self, on: date) -> bool:
        """Whether it applies on a day: approved, begun, and not expired."""
        begun = self.valid_from is not None and self.valid_from <= on
        return self.state(on) == "approved" and begun


@dataclass(frozen=True)
class CorrectionsInForce:
    """The corrections that apply to one model on one day.

    Attributes
    ----------
    corrections : tuple of Correction
        The most specific first: more conditions, then more credibility, then by id.
    valued_on : datetime.date
        The day.
    book_version : str
        Version of the book they are from.
    """

    corrections: tuple[Correction, ...]
    valued_on: date
    book_version: str

    def by_loan(self, segments: pl.DataFrame) -> pl.DataFrame:
        """The one correction that each loan takes.

        The most specific wins: a correction of a region and an asset class is fitted on what is
        left of both, so factors are never multiplied.

        Parameters
        ----------
        segments : polars.DataFrame
            From `features.segments.segment_frame`.

        Returns
        -------
        polars.DataFrame
            `correction_id` and `correction_factor`, both missing where none applies.
        """
        identifier, factor = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.Float64)
        for correction in reversed(self.corrections):
            proposal = correction.proposal
            holds = pl.all_horizontal(
                pl.col(proposal.vintage_by) >= proposal.vintages_from,
                *(pl.col(name) == level for name, level in proposal.conditions.items()),
            )
            identifier = pl.when(holds).then(pl.lit(correction.id)).otherwise(identifier)
            factor = pl.when(holds).then(pl.lit(proposal.factor)).otherwise(factor)
        chosen = segments.with_columns(correction_id=identifier, correction_factor=factor)
        return chosen.select("correction_id", "correction_factor")


def corrected_rate(rate: pl.Expr, factor: pl.Expr) -> pl.Expr:
    """Rate times factor, where there is one.

    Never above 1 unless the rate was, and then never above the rate. A rate of 0 or less is cost,
    which says nothing of the cash that the factor speaks of: it stays. So the result is never
    negative where the rate was not, and a larger rate never becomes the smaller.

    Examples
    --------
    >>> frame = pl.DataFrame({"rate": [0.4, 0.9, 1.1, -0.1, 0.4], "f": [0.5, 1.5, 1.5, 1.5, None]})
    >>> frame.select(corrected_rate(pl.col("rate"), pl.col("f"))).to_series().to_list()
    [0.2, 1.0, 1.1, -0.1, 0.4]
    """
    raised = pl.min_horizontal(rate * factor, pl.max_horizontal(rate, pl.lit(1.0)))
    return pl.when(factor.is_not_null() & (rate > 0)).then(raised).otherwise(rate)


def correct_scores(scores: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """Scores with each loan's correction applied and shown.

    Parameters
    ----------
    scores : polars.DataFrame
        Of `models.scoring.score_loans`, uncorrected.
    chosen : polars.DataFrame
        From `CorrectionsInForce.by_loan`, the same loans in the same order.

    Returns
    -------
    polars.DataFrame
        Every recovery rate, the curve, the quantiles and the expected shortfall corrected, and
        `expected_recovery_amount` with them; `probability_of_nothing` stands, for a factor does not
        move it. Three columns more: `correction_id`, `correction_factor` (missing where none
        applies) and `points_correction` (rate points that it adds to `recovery_rate`, so that
        base, points and it add up).
    """
    rates = [n for n in scores.columns if n.startswith("recovery_rate")]
    rates += [n for n in scores.columns if n == "expected_shortfall_rate"]
    joined = scores.hstack(chosen).with_columns(
        pl.when(pl.col("recovery_rate").is_not_null()).then(pl.col(name)).alias(name)
        for name in chosen.columns
    )
    factor = pl.col("correction_factor")
    before = joined["recovery_rate"]
    return joined.with_columns(
        corrected_rate(pl.col(name), factor).alias(name) for name in rates
    ).with_columns(
        expected_recovery_amount=pl.col("ead") * pl.col("recovery_rate"),
        points_correction=pl.when(factor.is_not_null())
        .then(pl.col("recovery_rate") - before)
        .otherwise(pl.when(before.is_not_null()).then(0.0)),
    )
