"""A package's valuation as an Excel workbook: what the page shows, and every loan."""

from datetime import datetime, time
from functools import reduce
from operator import add
from pathlib import Path
from typing import Final

import polars as pl
import xlsxwriter
from polars import selectors as cs

from features.frames import AnyFrame, collected
from features.replacing import replacing_file
from models.bundle import Bundle
from models.errors import ScoringError
from models.package import PackageValuation, tie_out
from models.package_report import words
from models.package_report.sheets import (
    AMOUNT,
    COUNT,
    HEADER,
    PLAIN,
    RATE,
    TITLE,
    Fact,
    Sheets,
)
from models.package_tables import POINTS
from models.wording import GROUPS, Label, level_label

EXCEL_ROWS: Final = 1_048_575
# A part of a workbook has at most 4 GB, and long before that it opens nowhere. What a cell takes
# beside its text is about this much.
SHEET_BYTES: Final = 2_500_000_000
_CELL_BYTES: Final = 50
EXCEL_CHARACTERS: Final = 32_767


def workbook_refusal(scores: AnyFrame) -> str:
    """Why scores do not go into a workbook; empty where they do.

    Parameters
    ----------
    scores : polars.LazyFrame or polars.DataFrame
        From `models.scoring`.
    """
    told = cs.exclude(cs.starts_with(POINTS))
    sizes = scores.select(pl.len(), (told & cs.string()).str.len_bytes().sum().name.prefix("of_"))
    rows, *texts = collected(sizes).row(0)
    if rows > EXCEL_ROWS:
        return f"{rows:,} loans, an Excel sheet holds {EXCEL_ROWS:,}"
    columns = len(scores.select(told).collect_schema())
    size = rows * columns * _CELL_BYTES + sum(texts)
    if size > SHEET_BYTES:
        return f"{rows:,} loans in {columns} columns, a sheet of some {size / 1e9:.1f} GB"
    return ""


def write_workbook(
    path: Path, valuation: PackageValuation, scores: AnyFrame, bundle: Bundle
) -> None:
    """Write a valuation with all its loans as XLSX, whole or not at all.

    Text is written as text whatever it begins with: nothing in the data becomes a formula or link.

    Parameters
    ----------
    path : Path
        Ends in `.xlsx`; an older file of that name is replaced.
    valuation : PackageValuation
        From `models.package.value_package`.
    scores : polars.LazyFrame or polars.DataFrame
        The scores it was made from; those of a plan are read a block at a time. Points of single
        features are summed by factor group.
    bundle : Bundle
        The model that scored the package.

    Raises
    ------
    ScoringError
        When there are more loans than a sheet holds, a text longer than a cell holds, or other
        scores than those of the valuation.
    """
    _refuse_what_excel_cannot_hold(path, valuation, scores)
    with replacing_file(path) as aside:
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        with xlsxwriter.Workbook(aside, options) as workbook:
            # Not the clock's time: the same valuation makes the same file.
            made = datetime.combine(valuation.cut_off_dates[1], time())
            workbook.set_properties({"title": valuation.title, "created": made})
            sheets = Sheets(workbook)
            sheets.add_facts("Summary", _summary(valuation, bundle))
            sheets.add_frame("Loans", _loans(scores, bundle))
            sheets.add_frame("Cash curve", valuation.curve)
            sheets.add_frame("Factor groups", _groups(valuation))
            sheets.add_frame("Factors", _factors(valuation, bundle))
            sheets.add_frame("Segments", _segments(valuation))
            sheets.add_frame("Checks", tie_out(valuation))


def _refuse_what_excel_cannot_hold(
    path: Path, valuation: PackageValuation, scores: AnyFrame
) -> None:
    rows = int(collected(scores.select(pl.len())).item())
    if rows != valuation.loans:
        raise ScoringError(
            f"{path}: {rows:,} scores, but the package has {valuation.loans:,} loans;"
            " give the scores it was valued from"
        )
    refusal = workbook_refusal(scores)
    if refusal:
        raise ScoringError(
            f"{path}: {refusal}; write the scores as parquet (npl score --out scores.parquet)"
        )
    longest = collected(scores.select(pl.col(pl.String).str.len_chars().max()))
    for name, characters in longest.row(0, named=True).items():
        if (characters or 0) > EXCEL_CHARACTERS:
            raise ScoringError(
                f"{path}: a text in {name} has {characters:,} characters, an Excel cell holds"
                f" {EXCEL_CHARACTERS:,}; write the scores as parquet"
            )


def _summary(valuation: PackageValuation, bundle: Bundle) -> list[Fact]:
    v, label = valuation, Label
    facts: list[Fact] = [
        (label(v.title, ""), None, TITLE),
        (label("Value analysis support, not an appraisal", "价值分析，非价值评估"), None, PLAIN),
        (label("Package", "资产包"), None, HEADER),
        (label("Portfolio", "资产组合"), v.meta.name, PLAIN),
        (label("Packages", "资产包编号"), ", ".join(v.package_ids[:20]), PLAIN),
        (label("Cut-off date", "交易基准日"), words.day_range(*v.cut_off_dates), PLAIN),
        (label("Currency", "币种"), v.meta.currency, PLAIN),
        (label("Loans", "笔数"), v.loans, COUNT),
        (label("Loans scored", "已评分"), v.scored_loans, COUNT),
        (label("Loans not scored", "未评分"), v.unscored_loans, COUNT),
        (label("Borrowers", "户数"), v.borrowers, COUNT),
        (label("Value", "价值"), None, HEADER),
        (
            label("Expected recovery, net, undiscounted", "预期净回收（未折现）"),
            v.expected_recovery_amount,
            AMOUNT,
        ),
    ]
    facts += _range(v)
    for basis in v.bases:
        name = words.BASES[basis.name]
        facts += [
            (name, basis.recovery_rate, RATE),
            (label("    of", "分母"), basis.amount, AMOUNT),
        ]
    facts += _announced(v)
    facts += [
        (label("Model", "模型"), None, HEADER),
        (label("Model version", "模型版本"), bundle.version, PLAIN),
        (label("Trained on", "训练数据"), bundle.portfolio.name, PLAIN),
        (label("Known to", "数据截至"), bundle.provenance.known_on, PLAIN),
        (label("Training data SHA-256", "训练数据哈希"), bundle.provenance.data_hash, PLAIN),
        *_section(
            label("Loans without a forecast", "未评分债权"),
            [(label(reason, ""), loans, COUNT) for reason, loans in v.unscored.iter_rows()],
        ),
        *_section(
            label("Flags", "提示"),
            [
                (label(flag, ""), loans, COUNT)
                for flag, loans in v.flags.select("flag", "loans").iter_rows()
            ],
        ),
        *_section(
            label("Caveats", "注意事项"),
            [
                (label(note, ""), None, PLAIN)
                for note in dict.fromkeys((*v.meta.notes, *bundle.notes))
            ],
        ),
        *_section(
            label("Not shown", "未列示"), [(label(said, ""), None, PLAIN) for said in v.left_out]
        ),
    ]
    return facts


def _range(valuation: PackageValuation) -> list[Fact]:
    """P10 to P90 of the total, where the model can tell."""
    spread, months = valuation.spread, valuation.spread_months
    if spread is None:
        return []
    by = Label("", "") if months is None else Label(f", by month {months}", f"，{months}个月内")
    return [
        (Label(f"{name} of the recovery{by.en}", f"回收额{name}{by.zh}"), amount, AMOUNT)
        for name, amount in (
            ("P10", spread.p10_amount),
            ("P50", spread.p50_amount),
            ("P90", spread.p90_amount),
        )
    ]


def _section(title: Label, facts: list[Fact]) -> list[Fact]:
    """Facts under their title, nothing where there are none."""
    return [(title, None, HEADER), *facts] if facts else []


def _announced(valuation: PackageValuation) -> list[Fact]:
    a, label = valuation.announcement, Label
    figures: list[Fact] = [
        (label("Principal + interest", "本息合计"), a.claim_amount, AMOUNT),
        (label("Days past due, weighted", "加权逾期天数"), a.weighted_days_past_due, AMOUNT),
        (
            label("Age in months, weighted", "加权账龄（月）"),
            a.weighted_months_since_default,
            AMOUNT,
        ),
        (label("Largest borrower claim", "单户最大债权"), a.largest_borrower_claim_amount, AMOUNT),
        (label("Mean borrower claim", "户均债权"), a.mean_borrower_claim_amount, AMOUNT),
        (label("Share of the largest borrower", "单户最大占比"), a.largest_borrower_share, RATE),
    ]
    stated = [fact for fact in figures if fact[1] is not None]
    return _section(label("In the terms of an announcement", "公告口径"), stated)


def _loans(scores: AnyFrame, bundle: Bundle) -> AnyFrame:
    """Scores, with the points of single features summed by factor group."""
    names = scores.collect_schema().names()
    plain = [pl.col(name) for name in names if not name.startswith(POINTS)]
    if "base_rate" not in names:
        return scores.select(plain)
    members: dict[str, list[str]] = {}
    for definition in bundle.model.spec.definitions:
        members.setdefault(definition.group, []).append(POINTS + definition.name)
    # A loan without a forecast has no points, rather than points of zero.
    return scores.select(
        *plain,
        *(
            pl.when(pl.col("base_rate").is_not_null())
            # One after the other: polars' own sum splits between threads, and rounds as it splits.
            .then(reduce(add, map(pl.col, columns)))
            .alias(POINTS + group)
            for group, columns in members.items()
        ),
    )


def _factors(valuation: PackageValuation, bundle: Bundle) -> pl.DataFrame:
    """Factor table between its starting point and its total, with what each factor means."""
    table = valuation.factors
    if valuation.base_amount is None:
        return table
    meanings = [bundle.model.spec.definition(name) for name in table["feature"]]
    named = table.with_columns(
        meaning=pl.Series([m.meaning_en for m in meanings], dtype=pl.String),
        meaning_zh=pl.Series([m.meaning_zh for m in meanings], dtype=pl.String),
    )
    columns = ["group", "feature", "meaning", "meaning_zh", *table.columns[2:]]
    return _between_ends(named, valuation).select(columns)


def _groups(valuation: PackageValuation) -> pl.DataFrame:
    """Group table between its starting point and its total."""
    table = valuation.groups
    if valuation.base_amount is None:
        return table
    labels = [GROUPS[name] for name in table["group"]]
    named = table.with_columns(
        group=pl.Series([f"{one.en} {one.zh}" for one in labels], dtype=pl.String)
    )
    return _between_ends(named, valuation).select(table.columns)


def _between_ends(table: pl.DataFrame, valuation: PackageValuation) -> pl.DataFrame:
    ends = pl.DataFrame(
        {
            "group": ["starting point: the average loan", "expected recovery"],
            "amount": [valuation.base_amount, valuation.expected_recovery_amount],
        }
    )
    return pl.concat([ends.head(1), table, ends.tail(1)], how="diagonal")


def _segments(valuation: PackageValuation) -> pl.DataFrame:
    table = valuation.segments
    labels = [
        level_label(dimension, level)
        for dimension, level in table.select("dimension", "level").iter_rows()
    ]
    return table.with_columns(
        level=pl.Series([one.en for one in labels], dtype=pl.String),
        level_zh=pl.Series([one.zh for one in labels], dtype=pl.String),
    ).select("dimension", "level", "level_zh", *table.columns[2:])
