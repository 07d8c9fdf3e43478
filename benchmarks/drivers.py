"""Leading factors of a model beside the true drivers of the simulated loans it was trained on.

A driver is one field of a loan in the simulator's law; what it does to a loan is known. Of several
features that carry the same field (months since default and days past due) a model may use any, so
their contributions are taken together, and drivers that nothing on a tape can tell apart (the year
of the cut-off and the house prices of that year) are one. Which features carry a driver was fixed
by what the simulator makes each field from, before any figure was seen; what of the measure was
not, docs/explanations.md tells.

The level of a segment (asset class, secured or not) is said by many features at once, for an
unsecured loan has no appraised value, no lien, no occupancy. So both sides are split alike: the
mean of a factor within a segment counts to the segment, which is a factor of its own, and what is
left is the factor's own. The simulator centres its effects within segments for the same reason.

What two drivers do together (a contact is worth less the older the loan) is split between them by
Shapley's rule: each has what it does at the mean of the other, and half of the rest. With that the
effects are the Shapley values of the simulator's additive link, as contributions are the model's.

Sizes are means over the loans of absolute rate points. The effects of the truth are brought to rate
points by the rule the model's contributions are (`models.link.rate_points`), and beside that as the
simulator writes them in its `effects.csv`: the true rate less the rate without the effect.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import spearmanr

from features.horizons import HORIZONS_MONTHS
from features.pipeline import build_features
from features.portfolio import Portfolio
from models.link import rate_points
from models.recovery import RecoveryModel

Array = NDArray[np.float64]
LEADING: Final = 10
SEGMENT: Final = "asset class and security"
# Factor -> drivers of the simulator, features that carry them.
DRIVERS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "size of the claim": (
        ("claim_amount",),
        ("ead", "original_amount", "principal_to_original", "appraised_value", "area_m2"),
    ),
    "age": (
        ("months_since_default",),
        (
            *("months_since_default", "days_past_due", "interest_to_principal", "written_off"),
            *("months_since_write_off", "months_to_limitation", "months_on_book", "term_elapsed"),
            *("months_to_default", "scheduled_balance_rate"),
        ),
    ),
    "market: cut-off year and house prices": (
        ("cut_off_year", "house_price_index_change"),
        ("cut_off_time", "house_price_index_change"),
    ),
    "region": (("region",), ("region", "collateral_region", "province_gdp_growth")),
    "city tier": (("city_tier",), ("city_tier", "collateral_city_tier")),
    "legal stage": (
        ("legal_stage",),
        (
            *("legal_stage", "months_since_lawsuit", "seizure_rank", "auction_round"),
            *("reserve_to_ead", "months_to_auction"),
        ),
    ),
    "income": (("annual_income",), ("annual_income", "ead_to_income")),
    "employment": (("employment_status",), ("employment_status",)),
    "contact": (("contactable",), ("contactable",)),
    "dishonest debtor": (("dishonest_flag",), ("dishonest", "consumption_restricted")),
    "payments before the cut-off": (
        ("paid_last_12m",),
        (
            *("paid_12m_rate", "paid_3m_rate", "paying_months_12m", "last_payment_rate"),
            "months_since_last_payment",
        ),
    ),
    "guarantee": (("guarantee_type",), ("guarantee_type", "guaranteed_share")),
    "five-category class": (("five_category",), ("five_category",)),
    "internal grade": (("internal_grade",), ("internal_grade", "credit_score")),
    "type of collateral": (("collateral_type",), ("collateral_type",)),
    "loan to value": (("loan_to_value",), ("loan_to_value",)),
    "rank of the lien": (("lien_rank",), ("lien_rank",)),
    "occupancy": (("occupancy",), ("occupancy",)),
}
# Driver of two fields -> the drivers of each.
TOGETHER: Final = {
    "contactable_by_age": ("contactable", "months_since_default"),
    "loan_to_value_by_house_price": ("loan_to_value", "house_price_index_change"),
}
NOTHING: Final = "fields that drive nothing"


@dataclass(frozen=True)
class Agreement:
    """Factors with their size in the model and in truth.

    Attributes
    ----------
    table : polars.DataFrame
        `factor`, `model_points`, `true_points`, `taken_away_points` (mean absolute, in rate
        points), the model's largest first.
    leading, all_factors : float
        Spearman's rank correlation with `true_points` of the model's ten leading factors, and of
        all.
    leading_taken_away : float
        Of the ten leading factors with `taken_away_points`.
    """

    table: pl.DataFrame
    leading: float
    all_factors: float
    leading_taken_away: float


def agreement(model: RecoveryModel, portfolio: Portfolio) -> Agreement:
    """Compare a model's factors with the truth beside a simulated portfolio.

    Parameters
    ----------
    model : RecoveryModel
        Trained on simulated loans.
    portfolio : Portfolio
        Simulated, in its folder.
    """
    assert portfolio.path is not None
    tape = portfolio.tape.collect()
    truth = portfolio.path / "truth"
    effects = tape.select("loan_id").join(
        pl.read_parquet(truth / "effects.parquet"), on="loan_id", maintain_order="left"
    )
    rates = tape.select("loan_id").join(
        pl.read_parquet(truth / "truth.parquet"), on="loan_id", maintain_order="left"
    )
    features = build_features(portfolio.tape, portfolio.ledger, model.spec).collect()
    assert features["loan_id"].equals(tape["loan_id"])
    segment = _segments(tape)
    ours = _model_points(model, features, segment)
    theirs = _true_points(effects, rates, segment)
    apart = _taken_away_points(effects, rates, segment)
    table = pl.DataFrame(
        {
            "factor": list(ours),
            "model_points": list(ours.values()),
            "true_points": [theirs[name] for name in ours],
            "taken_away_points": [apart[name] for name in ours],
        }
    ).sort("model_points", "factor", descending=[True, False])
    leading = table.head(LEADING)
    return Agreement(
        table,
        _ranked_alike(leading, "true_points"),
        _ranked_alike(table, "true_points"),
        _ranked_alike(leading, "taken_away_points"),
    )


def _ranked_alike(table: pl.DataFrame, truth: str) -> float:
    return float(spearmanr(table["model_points"], table[truth]).statistic)


def _segments(tape: pl.DataFrame) -> NDArray[np.intp]:
    """Number of each loan's segment: asset class, and whether it has collateral."""
    secured = tape["collateral_type"].is_not_null().cast(pl.String)
    named = tape["asset_class"].cast(pl.String) + secured
    return np.unique(named.to_numpy(), return_inverse=True)[1]


def _within(values: Array, segment: NDArray[np.intp]) -> tuple[Array, Array]:
    """Mean of the loan's segment less that of all, and what is left."""
    mean = (np.bincount(segment, values) / np.bincount(segment))[segment]
    return mean - values.mean(), values - mean


def _model_points(
    model: RecoveryModel, features: pl.DataFrame, segment: NDArray[np.intp]
) -> dict[str, float]:
    why = model.contributions(features)
    place = {name: position for position, name in enumerate(why.names)}
    carried = {name for _, own in DRIVERS.values() for name in own}
    groups = {name: own for name, (_, own) in DRIVERS.items()}
    groups[NOTHING] = tuple(name for name in why.names if name not in carried)
    between, sizes = np.zeros(features.height), {}
    for name, own in groups.items():
        columns = [place[feature] for feature in own if feature in place]
        means, rest = _within(why.rate_points[:, columns].sum(axis=1), segment)
        between += means
        sizes[name] = float(np.abs(rest).mean())
    return {SEGMENT: float(np.abs(between).mean())} | sizes


def _factor_effects(effects: pl.DataFrame, segment: NDArray[np.intp]) -> dict[str, Array]:
    """Effect of each factor on the link, loan by loan, the segment's own first."""
    effects = _shared_out(effects, segment)
    known = {"asset_class", *(name for own, _ in DRIVERS.values() for name in own)}
    # Nothing on a tape tells the shocks of a quarter.
    assert set(effects.columns) - known == {"loan_id", "vintage_shock", "region_shock"}
    between, parts = effects["asset_class"].to_numpy().copy(), {}
    for name, (own, _) in DRIVERS.items():
        means, parts[name] = _within(effects.select(own).to_numpy().sum(axis=1), segment)
        between += means
    return {SEGMENT: between - between.mean()} | parts


def _true_points(
    effects: pl.DataFrame, rates: pl.DataFrame, segment: NDArray[np.intp]
) -> dict[str, float]:
    parts = _factor_effects(effects, segment)
    scores = np.column_stack(list(parts.values()))
    link = logit(rates["true_gross_rate"].to_numpy())
    points = rate_points(scores, np.full(len(link), link.mean()), "logit") * _kept(rates)[:, None]
    return {NOTHING: 0.0} | dict(zip(parts, np.abs(points).mean(axis=0).tolist(), strict=True))


def _taken_away_points(
    effects: pl.DataFrame, rates: pl.DataFrame, segment: NDArray[np.intp]
) -> dict[str, float]:
    level = rates["true_gross_rate"].to_numpy()
    link, kept = logit(level), _kept(rates)
    return {NOTHING: 0.0} | {
        name: float(np.abs((level - expit(link - effect)) * kept).mean())
        for name, effect in _factor_effects(effects, segment).items()
    }


def _kept(rates: pl.DataFrame) -> Array:
    """Net over gross of each loan: what its routes keep."""
    net = rates[f"true_rate_{HORIZONS_MONTHS[-1]}"] / rates["true_gross_rate"]
    return net.to_numpy()


def _shared_out(effects: pl.DataFrame, segment: NDArray[np.intp]) -> pl.DataFrame:
    """Effects with those of two fields shared out between them.

    Within a segment both fields enter their own effects by a factor, so that the joint effect is
    `a + b x + c y + d x y` of the two: of x is `b x + d x y / 2` where x and y are centred.
    """
    columns = {name: effects[name].to_numpy().copy() for name in effects.columns[1:]}
    for joint, (one, other) in TOGETHER.items():
        x, y = _within(columns[one], segment)[1], _within(columns[other], segment)[1]
        shared = columns.pop(joint)
        for number in np.unique(segment):
            rows = segment == number
            design = np.column_stack([np.ones(rows.sum()), x[rows], y[rows], x[rows] * y[rows]])
            fit, *_ = np.linalg.lstsq(design, shared[rows])
            assert np.allclose(design @ fit, shared[rows], atol=1e-8)
            both = fit[3] * x[rows] * y[rows] / 2
            columns[one][rows] += fit[0] + fit[1] * x[rows] + both
            columns[other][rows] += fit[2] * y[rows] + both
    return pl.DataFrame({"loan_id": effects["loan_id"], **columns})


def drivers_section(model: RecoveryModel, portfolio: Portfolio, trained_on: str) -> str:
    """Text of the section of docs/explanations.md."""
    found = agreement(model, portfolio)
    loans = portfolio.tape.select(pl.len()).collect().item()
    lines = [
        "## Leading factors and true drivers\n",
        f"{loans:,} simulated loans, the model {trained_on}. Mean absolute size in recovery-rate"
        " points. Features that carry the same field of the simulator are taken together, and what"
        " a factor says of the segment counts to the segment; `benchmarks/drivers.py` has the"
        " definition. The truth is brought to rate points by the rule of the model's own"
        " contributions (chord), and as the true rate less the rate without the effect.\n",
        "| factor | model | truth | truth, taken away | rank in the model | rank in truth |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    table = found.table.with_columns(
        ours=pl.col("model_points").rank("ordinal", descending=True),
        theirs=pl.col("true_points").rank("ordinal", descending=True),
    )
    lines += [
        f"| {row['factor']} | {100 * row['model_points']:.2f} | {100 * row['true_points']:.2f} |"
        f" {100 * row['taken_away_points']:.2f} | {row['ours']} | {row['theirs']} |"
        for row in table.iter_rows(named=True)
    ]
    lines.append(
        f"\nSpearman's rank correlation among the model's {LEADING} leading factors:"
        f" **{found.leading:.3f}** ({found.leading_taken_away:.3f} with effects taken away);"
        f" {found.all_factors:.3f} among all {found.table.height}.\n"
    )
    return "\n".join(lines)
