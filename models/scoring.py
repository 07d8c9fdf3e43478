"""The one scoring path: tape and bundle in, one scored row a loan out, in input order.

The command line, the service and the backtest all score here.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.exposure import EAD
from features.frames import Frame, collected
from features.horizons import rate_column
from features.pipeline import UNSEEN, build_scoring_frame
from features.segments import segment_frame
from features.spec import FeatureDefinition, FeatureSpec
from models.correction import CorrectionsInForce, correct_scores
from models.reasons import chosen_values, reason_columns
from models.recovery import Contributions, RecoveryModel

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]
Column = pl.Series | NDArray[np.float64]
Explain = bool | Literal["factors"]
# Loans scored at a time: bounds the memory, changes no bit.
BLOCK_LOANS: Final = 50_000
FACTORS: Final = 5
QUANTILES: Final = (0.1, 0.5, 0.9)
NOTHING_OUTSTANDING: Final = "exposure at the cut-off is zero, negative or unknown"


def score_loans(
    model: RecoveryModel,
    tape: Frame,
    ledger: Frame,
    *,
    explain: Explain = False,
    cut_off_date: date | None = None,
    progress: Progress | None = None,
    corrections: CorrectionsInForce | None = None,
) -> pl.DataFrame:
    """Forecast of every loan of a checked tape.

    Parameters
    ----------
    model : RecoveryModel
        The model.
    tape, ledger : polars.LazyFrame or polars.DataFrame
        Checked rows; see `features.check`. Plans are streamed. A few loans are quicker as tables
        in memory, to the same bits.
    explain : bool or "factors"
        Add the factors of each forecast; "factors" leaves out their sentences and the points of
        every feature.
    cut_off_date : datetime.date, optional
        As in `features.pipeline.build_features`.
    progress : callable, optional
        Called with loans done and loans in all.
    corrections : CorrectionsInForce, optional
        Corrections to apply and show, as `models.correction.correct_scores` tells; adds
        `correction_id`, `correction_factor` and `points_correction`.

    Returns
    -------
    polars.DataFrame
        In tape order: `loan_id`; `ead` (currency); `recovery_rate` (expected ultimate net recovery,
        fraction of EAD); `recovery_rate_06m` ... where the model knows timing;
        `recovery_rate_p10`, `_p50`, `_p90`, `probability_of_nothing` and `expected_shortfall_rate`
        (mean of the worst tenth) where the model knows how sure it is, at its `uncertain_months`;
        `expected_recovery_amount`; `flags` (what of the loan is unlike training; see
        `features.flags`); `reason` (why a loan has no forecast, else missing). With `explain`:
        `base_rate`, then `factor_1` (feature), `factor_1_value` (the loan's own), `factor_1_points`
        ... by size, `other_points`; in full also the same as sentences in English and Chinese
        (`why_en`, `why_zh`), and `points_<feature>` for all; base and points add up to
        `recovery_rate`.

    Raises
    ------
    features.errors.SpecError
        When the tape lacks an extra field of the model.
    """
    blocks = score_blocks(
        model,
        tape,
        ledger,
        explain=explain,
        cut_off_date=cut_off_date,
        progress=progress,
        corrections=corrections,
    )
    first, *others = blocks
    return pl.concat([first, *others]) if others else first


def score_blocks(
    model: RecoveryModel,
    tape: Frame,
    ledger: Frame,
    *,
    explain: Explain = False,
    cut_off_date: date | None = None,
    progress: Progress | None = None,
    corrections: CorrectionsInForce | None = None,
) -> Iterator[pl.DataFrame]:
    """Forecast of every loan of a checked tape, so many loans at a time.

    Parameters and errors are those of `score_loans`.

    Yields
    ------
    polars.DataFrame
        The next `BLOCK_LOANS` rows of what `score_loans` gives; one empty block of an empty tape.
    """
    frame = collected(build_scoring_frame(tape, ledger, model.spec, cut_off_date))
    currency = _currency(tape) if explain is True else ""
    chosen = None
    if corrections is not None:
        segments = segment_frame(tape.lazy(), ledger.lazy(), model.spec.basis, cut_off_date)
        chosen = corrections.by_loan(segments)
    for start in range(0, max(frame.height, 1), BLOCK_LOANS):
        scores = _score_block(model, frame.slice(start, BLOCK_LOANS), explain, currency)
        if chosen is not None:
            scores = correct_scores(scores, chosen.slice(start, BLOCK_LOANS))
        if progress is not None:
            progress(min(start + BLOCK_LOANS, frame.height), frame.height)
        yield scores


def _currency(tape: Frame) -> str:
    """Currency of a tape, which has but one; none where it is empty."""
    found = collected(tape.select(pl.col("currency").drop_nulls().first()))
    return str(found.item() or "")


def _score_block(
    model: RecoveryModel, block: pl.DataFrame, explain: Explain, currency: str
) -> pl.DataFrame:
    """Scores of a block."""
    why: Contributions | None = None
    if explain:
        ultimate, curve, why = model.explained(block)
    else:
        ultimate, curve = model.forecast(block)
    ead, rate = block[EAD], pl.Series(np.ascontiguousarray(ultimate))
    # One table out of ready columns: for one loan every query costs more than its answer.
    columns: dict[str, Column] = {
        "loan_id": block["loan_id"],
        "ead": ead,
        "recovery_rate": rate,
        **{
            rate_column(months): np.ascontiguousarray(curve[:, place])
            for place, months in enumerate(model.horizons_months)
        },
        **_spread(model, block, ultimate, curve),
        "expected_recovery_amount": ead * rate,
        "flags": model.seen.flags(block, block[UNSEEN]),
        "reason": pl.Series([None] * block.height, dtype=pl.String),
    }
    if why is not None:
        order = _order(why)
        chosen = chosen_values(why, order)
        columns |= _factors(model.spec, why, order, chosen)
        if explain is True:
            columns |= reason_columns(why, order, chosen, model.spec, currency)
            columns |= _all_points(why)
    # Named columns in a list: from a dict the same takes twice the time.
    forecast = pl.DataFrame([pl.Series(name, values) for name, values in columns.items()])
    scored = (ead > 0).fill_null(False)
    if scored.all():
        return forecast
    withheld = pl.exclude("loan_id", "ead", "flags", "reason")
    return forecast.with_columns(
        pl.when(scored).then(withheld).name.keep(),
        reason=pl.when(~scored).then(pl.lit(NOTHING_OUTSTANDING)),
    )


def _spread(
    model: RecoveryModel, block: pl.DataFrame, ultimate: Array, curve: Array
) -> dict[str, pl.Series]:
    """How sure each forecast is; nothing where the model does not know."""
    if model.uncertainty is None:
        return {}
    rates, months = model.uncertainty.rates, model.uncertain_months
    at = ultimate if months is None else curve[:, model.horizons_months.index(months)]
    classes = (
        block["asset_class"]
        if "asset_class" in block.columns
        else pl.Series([None] * block.height, dtype=pl.String)
    )
    quantiles = rates.quantiles(at, classes, np.array(QUANTILES))
    columns = {
        quantile_column(p): np.ascontiguousarray(quantiles[:, place])
        for place, p in enumerate(QUANTILES)
    }
    columns["probability_of_nothing"] = rates.probability_of_nothing(at, classes)
    columns["expected_shortfall_rate"] = rates.expected_shortfall(at, classes)
    return {name: pl.Series(values) for name, values in columns.items()}


def quantile_column(probability: float) -> str:
    """Name of the column of a quantile of the recovery rate.

    Examples
    --------
    >>> quantile_column(0.1)
    'recovery_rate_p10'
    """
    return f"recovery_rate_p{round(100 * probability):02d}"


def _order(why: Contributions) -> NDArray[np.intp]:
    """Places of the factors to tell, by size; ties in the order of the features."""
    return np.argsort(-np.abs(why.rate_points), axis=1, kind="stable")[:, :FACTORS]


def _factors(
    spec: FeatureSpec,
    why: Contributions,
    order: NDArray[np.intp],
    chosen: NDArray[np.object_],
) -> dict[str, Column]:
    top = np.take_along_axis(why.rate_points, order, axis=1)
    texts = _texts(chosen, order, spec)
    columns: dict[str, Column] = {"base_rate": why.base_rate}
    for place in range(order.shape[1]):
        names = [why.names[feature] for feature in order[:, place].tolist()]
        columns[f"factor_{place + 1}"] = pl.Series(names, dtype=pl.String)
        columns[f"factor_{place + 1}_value"] = pl.Series(texts[place], dtype=pl.String)
        columns[f"factor_{place + 1}_points"] = np.ascontiguousarray(top[:, place])
    columns["other_points"] = _others(why, order)
    return columns


def _all_points(why: Contributions) -> dict[str, Column]:
    return {
        f"points_{name}": np.ascontiguousarray(why.rate_points[:, place])
        for place, name in enumerate(why.names)
    }


def _others(why: Contributions, order: NDArray[np.intp]) -> NDArray[np.float64]:
    rest = why.rate_points.copy()
    np.put_along_axis(rest, order, 0.0, axis=1)
    return np.asarray(rest.sum(axis=1))


def _texts(
    chosen: NDArray[np.object_], order: NDArray[np.intp], spec: FeatureSpec
) -> list[list[str | None]]:
    """Values as texts, one list a place of `order`."""
    known: dict[tuple[int, float | str | None], str | None] = {}
    found = []
    for features, values in zip(order.T.tolist(), chosen.T.tolist(), strict=True):
        texts = []
        for feature, value in zip(features, values, strict=True):
            if (feature, value) not in known:
                known[feature, value] = value_text(value, spec.definitions[feature])
            texts.append(known[feature, value])
        found.append(texts)
    return found


def value_text(value: float | str | None, definition: FeatureDefinition) -> str | None:
    """A feature's value as a person reads it: levels for ranks and categories, yes and no.

    Returns
    -------
    str, optional
        None where the value is missing.
    """
    if value is None or isinstance(value, str):
        return value
    if definition.kind == "ordered":
        return definition.levels[int(value)]
    if definition.kind == "flag":
        return "yes" if value else "no"
    # Six significant digits, the same text for the same number on every machine.
    return f"{value:.6g}"
