"""A package's valuation as one self-contained HTML page: no scripts, nothing from elsewhere."""

from importlib.resources import files
from typing import Any, Final

import polars as pl
from jinja2 import Environment, FunctionLoader, StrictUndefined

from features.spec import FeatureDefinition
from features.vocabulary import allowed_codes
from models.bundle import Bundle
from models.package import PackageValuation
from models.package_report import words
from models.package_report.charts import WIDTH, cash_chart, distribution_chart, waterfall_chart
from models.reasons import WHY_CHINESE, WHY_ENGLISH
from models.wording import GROUPS, Label, amount, capital, level_label, rate

TEMPLATE: Final = "package.html"
LEVELS_SHOWN: Final = 12
FACTORS_SHOWN: Final = 15
_SEGMENTS: Final = ("asset_class", "guarantee_type", "region")
_FLAGS: Final = {
    "unseen": Label(
        "value unknown to the model, scored as missing", "模型未见过的取值，按缺失处理"
    ),
    "outside": Label("outside the range of training", "超出训练范围"),
}
_SPLITS: Final = ("five_category", "written_off", "legal_stage")


def render_page(valuation: PackageValuation, bundle: Bundle) -> str:
    """Write a valuation as HTML that a browser shows and prints on A4 as it stands.

    Parameters
    ----------
    valuation : PackageValuation
        From `models.package.value_package`.
    bundle : Bundle
        The model that scored the package: its version, lineage and out-of-time accuracy.

    Returns
    -------
    str
        The page. The same valuation and bundle give the same page.
    """
    return environment().get_template(TEMPLATE).render(_content(valuation, bundle))


def environment() -> Environment:
    """Templates of the page, and how amounts and rates are written in them."""

    def source(name: str) -> str:
        return (files("models.package_report") / "templates" / name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": amount,
        "cents": words.cents,
        "rate": rate,
        "capital": capital,
    }
    return environment


def _content(valuation: PackageValuation, bundle: Bundle) -> dict[str, Any]:
    spec, currency = bundle.model.spec, valuation.meta.currency
    return {
        "v": valuation,
        "bundle": bundle,
        "currency": currency,
        "chart_width": WIDTH,
        "cut_off": words.day_range(*valuation.cut_off_dates),
        "measured_on": words.MEASURED_ON[valuation.meta.recovery_basis],
        "expected_zh": words.chinese_amount(valuation.expected_recovery_amount, currency),
        "ead_zh": words.chinese_amount(valuation.ead_amount, currency),
        "spread_by": _spread_by(valuation.spread_months),
        "bases": [(words.BASES[basis.name], basis) for basis in valuation.bases],
        "half_back": _half_back(valuation.curve),
        "cash": cash_chart(valuation),
        "curve": _periods(valuation.curve),
        "waterfall": waterfall_chart(valuation),
        "base_rate": _base_rate(valuation),
        "groups": [row | {"label": GROUPS[row["group"]]} for row in valuation.groups.to_dicts()],
        "distribution": distribution_chart(valuation),
        "factors": [
            row | {"label": _meaning(spec.definition(row["feature"])), "of": GROUPS[row["group"]]}
            for row in valuation.factors.head(FACTORS_SHOWN).to_dicts()
        ],
        "other_factors": _rest(valuation.factors.slice(FACTORS_SHOWN), "amount"),
        "segments": _tables(valuation.segments, _SEGMENTS),
        "splits": _tables(valuation.segments, _SPLITS),
        "largest": [_loan(row) for row in valuation.largest.to_dicts()],
        "accuracy": bundle.accuracy,
        "judged": _judged(bundle.accuracy),
        "flags": [
            row | {"label": _flag(row["flag"], bundle)} for row in valuation.flags.to_dicts()
        ],
        "notes": tuple(dict.fromkeys((*valuation.meta.notes, *bundle.notes))),
    }


def _base_rate(valuation: PackageValuation) -> float | None:
    """Rate of the average training loan, by the exposure of this package."""
    ead = valuation.ead_amount
    return valuation.base_amount / ead if valuation.base_amount is not None and ead else None


def _meaning(definition: FeatureDefinition) -> Label:
    return Label(definition.meaning_en, definition.meaning_zh)


def _spread_by(months: int | None) -> Label:
    """Horizon of the range, where it is not the ultimate."""
    return (
        Label("", "") if months is None else Label(f" by month {months}", f"（截至第{months}个月）")
    )


def _half_back(curve: pl.DataFrame) -> dict[str, Any] | None:
    """First horizon by which half of the expected recovery is in."""
    reached = curve.filter(pl.col("horizon_months").is_not_null(), pl.col("share") >= 0.5)
    return reached.row(0, named=True) if reached.height else None


def _periods(curve: pl.DataFrame) -> list[dict[str, Any]]:
    rows, before = [], 0
    for row in curve.to_dicts():
        months = row["horizon_months"]
        period = f"{before + 1}–{months}" if months else f"> {before}"
        rows.append(row | {"period": period})
        before = months or before
    return rows


def _rest(table: pl.DataFrame, column: str) -> dict[str, Any] | None:
    return {"count": table.height, column: table[column].sum()} if table.height else None


def _tables(segments: pl.DataFrame, dimensions: tuple[str, ...]) -> list[dict[str, Any]]:
    tables = []
    for name in dimensions:
        part = segments.filter(pl.col("dimension") == name).drop("dimension")
        if part.is_empty():
            continue
        order = {code: place for place, code in enumerate(allowed_codes(name))}
        if name in _SPLITS and order:
            # Stages and classes read in their own order, not by size.
            place = pl.col("level").replace_strict(order, default=len(order), return_dtype=pl.Int64)
            part = part.sort(place)
        rows = [
            row | {"label": level_label(name, row["level"])}
            for row in part.head(LEVELS_SHOWN).to_dicts()
        ]
        others = part.slice(LEVELS_SHOWN)
        if others.height:
            rows.append(_pooled(others))
        total = _pooled(part) | {"label": Label("Total", "合计")}
        tables.append({"label": words.DIMENSIONS[name], "rows": rows, "total": total})
    return tables


def _pooled(levels: pl.DataFrame) -> dict[str, Any]:
    """One row for several levels."""
    row: dict[str, Any] = {
        name: levels[name].sum() if levels[name].count() else None
        for name in levels.columns
        if name not in ("level", "recovery_rate")
    }
    ead = row["ead_amount"]
    return row | {
        "recovery_rate": row["expected_recovery_amount"] / ead if ead else None,
        "label": Label(f"{levels.height} others", f"其余{levels.height}项"),
    }


def _loan(row: dict[str, Any]) -> dict[str, Any]:
    kind = [
        level_label(name, row[name])
        for name in ("asset_class", "guarantee_type", "region")
        if row.get(name) is not None
    ]
    why = Label(row.get(WHY_ENGLISH) or "", row.get(WHY_CHINESE) or "")
    return row | {"why": why, "kind": kind}


def _judged(accuracy: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What the accuracy table was measured on: the same for every row."""
    if not accuracy:
        return None
    return {name: accuracy[0].get(name) for name in ("loans", "held_out_from", "horizon_months")}


def _flag(flag: str, bundle: Bundle) -> Label:
    kind, _, name = flag.partition("_")
    if kind == "missing" and name in GROUPS:
        group = GROUPS[name]
        return Label(f"{group.en}: nothing known", f"{group.zh}：全部缺失")
    if kind not in _FLAGS or name not in bundle.model.spec.names:
        return Label(flag, "")
    meaning = _meaning(bundle.model.spec.definition(name))
    return Label(f"{meaning.en}: {_FLAGS[kind].en}", f"{meaning.zh}：{_FLAGS[kind].zh}")
