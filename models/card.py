"""The model card: what a bundle is, what it may be used for, how it did and for whom.

After Mitchell et al. (2019), Model Cards for Model Reporting, with what a model-risk reviewer asks.
"""

from typing import TYPE_CHECKING, Any, Final

from models.development import DevelopmentPattern
from models.recovery import RecoveryModel

if TYPE_CHECKING:
    from models.bundle import Bundle

_USE: Final = """## Use

For: value analysis (价值分析) of packages of non-performing loans at a cut-off date; ranking and
triage of loans within a package; backtests of past valuations.

Not for:

- granting, pricing or refusing credit to a person, or choosing whom to press harder: it learnt what
  was collected, and with it the habits of those who collected;
- an appraisal (价值评估) or a price: it forecasts cash, undiscounted, before tax, funding and the
  buyer's own costs;
- a single loan's outcome: its quantiles are wide, and meant to be;
- other markets, products, servicers or definitions of exposure than those of its data;
- proof of cause: contributions say what moved the forecast, not what would move the cash.
"""
_LIMITS: Final = (
    "Future shocks to courts, house prices or income are in the intervals only as far as the"
    " vintages it was walked through had their like.",
    "Values it has never seen are scored as missing and flagged.",
    "The regions and ages of borrowers are features where the data carry them: the table above is"
    " read before use, and a level with a difference beyond two standard errors is answered for.",
)


def model_card(bundle: "Bundle") -> str:
    """Text of the card in Markdown, the same for the same bundle."""
    return "\n".join(
        [
            f"# Model card: {bundle.portfolio.name}, version {bundle.version}\n",
            _USE,
            _data(bundle),
            _model(bundle.model),
            _accuracy(bundle.accuracy),
            _fairness(bundle.fairness),
            "## Limits\n",
            *(f"- {limit}" for limit in (*bundle.notes, *_LIMITS)),
            "",
            _origin(bundle),
        ]
    )


def _data(bundle: "Bundle") -> str:
    portfolio = bundle.portfolio
    timing = {
        "monthly": "monthly cash flows",
        "resolution": "one payment at resolution",
        "none": "ultimate outcomes without dates",
    }
    return f"""## Data

| | |
|---|---|
| portfolio | {portfolio.name}, source {portfolio.source_system} |
| currency | {portfolio.currency} |
| recovery measured on | {portfolio.recovery_basis} |
| outcomes | {timing[portfolio.recovery_timing]}, known to {bundle.provenance.known_on} |
| longest workout, months | {portfolio.max_workout_months or "not stated"} |
| SHA-256 of the files | `{bundle.provenance.data_hash}` |
"""


def _model(model: RecoveryModel) -> str:
    groups: dict[str, int] = {}
    for definition in model.spec.definitions:
        groups[definition.group] = groups.get(definition.group, 0) + 1
    held = model.spec.directions
    signs = ", ".join(
        f"`{name}` ({'no higher' if sign < 0 else 'no lower'} as it rises)"
        for name, sign in held.items()
    )
    link = "the logit" if model.link == "logit" else "the rate itself"
    told = ", ".join(f"{group} {count}" for group, count in groups.items())
    return f"""## Model

{model.linear_weight:g} x ridge + {model.tree_weight:g} x mean of {len(model.trees.texts)} boosters
on {link}, an additive score with exact contributions.
Features: {told}.
Signs held by constraint: {signs or "none"}.
When: {_timing(model)}. How sure: {_sure(model)}.
"""


def _timing(model: RecoveryModel) -> str:
    if model.timing is None:
        return "not told, outcomes are undated"
    months = ", ".join(map(str, model.horizons_months))
    if isinstance(model.timing, DevelopmentPattern):
        return f"development pattern by segment, months {months}"
    return f"hazard of resolution by loan, months {months}"


def _sure(model: RecoveryModel) -> str:
    known = model.uncertainty
    if known is None:
        return "not told"
    loans = sum(known.rates.groups[""].loans)
    text = f"quantiles from {loans:,} out-of-time misses"
    if known.shared is None:
        return f"{text}; no interval for packages"
    return (
        f"{text}; a vintage shares {known.shared.vintage_sd:.0%} and a region in it a further"
        f" {known.shared.region_sd:.0%} of the forecast (standard deviations,"
        f" {known.shared.vintages} vintages)"
    )


def _accuracy(rows: list[dict[str, Any]]) -> str:
    lines = ["## Accuracy, out of time\n"]
    if not rows:
        return "\n".join([*lines, "Not judged.\n"])
    horizon = rows[0].get("horizon_months")
    at = "ultimate rate" if horizon is None else f"rate by month {horizon}"
    lines += [
        f"{rows[0].get('loans', 0):,} loans of vintages from"
        f" {rows[0].get('held_out_from', 'the newest')}, {at}. Deviation"
        " (偏差率) is (actual - forecast) / forecast cash.\n",
        "| model | R2 | MAE | RMSE | Spearman | deviation |\n|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        figures = [_number(row.get(name), ".4f") for name in ("r2", "mae", "rmse", "spearman")]
        figures.append(_number(row.get("deviation"), "+.1%"))
        lines.append(f"| {row['model']} | {' | '.join(figures)} |")
    return "\n".join([*lines, ""])


def _fairness(rows: list[dict[str, Any]]) -> str:
    lines = [
        "## By age band and region of the borrower\n",
        "The same held-out loans. A difference (actual less forecast, rate points) below zero: the"
        " forecast was too high for that group.\n",
    ]
    if not rows:
        return "\n".join([*lines, "The data carry neither.\n"])
    head = "| | group | loans | forecast | actual | difference | standard error |"
    lines.append(f"{head}\n|---|---|---:|---:|---:|---:|---:|")
    for row in rows:
        beyond = abs(row["difference"]) > 2 * (row["standard_error"] or float("inf"))
        lines.append(
            f"| {row['dimension'].replace('_', ' ')} | {row['level']} | {row['loans']:,} |"
            f" {row['forecast_rate']:.3f} | {row['actual_rate']:.3f} |"
            f" {row['difference']:+.3f}{' *' if beyond else ''} |"
            f" {_number(row['standard_error'], '.3f')} |"
        )
    return "\n".join([*lines, "\n\\* beyond two standard errors.\n"])


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _origin(bundle: "Bundle") -> str:
    provenance = bundle.provenance
    versions = ", ".join(f"{name} {number}" for name, number in provenance.versions.items())
    commit = provenance.git_commit or "unknown"
    return f"## Made by\n\ncommit `{commit}`; {versions or 'versions unknown'}.\n"
