"""Pictures of explanations by shap and matplotlib, as SVG: the same figures, the same bytes."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import matplotlib as mpl
import numpy as np
import shap
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.ticker import PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from features.spec import FeatureDefinition
from models.wording import Label, capital, level_label

Array = NDArray[np.float64]
Language = Literal["en", "zh"]
# Fonts that have simplified Chinese, the best known first, and how their files are called.
_CHINESE_FONTS: Final = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC"),
    *("Hiragino Sans GB", "Heiti SC", "Noto Serif CJK SC"),
)
_FONT_FILES: Final = re.compile(
    r"NotoS(ans|erif)(CJK|SC)|SourceHanSans|wqy|msyh|simhei|PingFang|Hiragino|Heiti", re.IGNORECASE
)
_PER_POINT: Final = 100
WATERFALL_FACTORS: Final = 12
SWARM_FACTORS: Final = 15
_TEXTS: Final = {
    "average": Label("average loan {:.1f}%", "平均贷款 {:.1f}%"),
    "forecast": Label("expected recovery {:.1f}%", "预期回收率 {:.1f}%"),
    "others": Label("{} other factors", "其余{}项因素"),
    "points": Label("points of recovery rate", "回收率百分点"),
    "low": Label("low", "低"),
    "high": Label("high", "高"),
    "value": Label("value of the factor", "因素取值"),
}


@cache
def chinese_font() -> str | None:
    """Name of an installed font that has simplified Chinese; None where there is none."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    if known.isdisjoint(_CHINESE_FONTS):
        # Fonts installed since matplotlib last listed them.
        for path in sorted(font_manager.findSystemFonts()):
            if _FONT_FILES.search(Path(path).name):
                font_manager.fontManager.addfont(path)
        known = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in _CHINESE_FONTS if name in known), None)


@contextmanager
def _drawing(path: Path, lang: Language) -> Iterator[None]:
    """Draw into a new figure and write it: no date, fixed identifiers, text as outlines."""
    # Names and levels may be Chinese whatever the language of the labels.
    fonts = [name for name in ("DejaVu Sans", chinese_font()) if name]
    if lang == "zh":
        fonts.reverse()
    # shap scatters by the global generator.
    before = np.random.get_state()
    np.random.seed(0)
    with mpl.rc_context(
        {
            "svg.hashsalt": "npl-recovery",
            "svg.fonttype": "path",
            "axes.unicode_minus": False,
            "font.family": fonts,
            "savefig.dpi": 150,
            # A dollar sign in a name begins no formula.
            "text.parse_math": False,
        }
    ):
        # shap measures its texts, which the SVG backend alone cannot.
        plt.switch_backend("agg")
        figure = plt.figure()
        try:
            yield
            figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
        finally:
            plt.close("all")
            np.random.set_state(before)


def draw_waterfall(
    path: Path, base_rate: float, points: Array, names: Sequence[str], lang: Language = "en"
) -> None:
    """Draw how a loan's factors lead from the average loan to its forecast.

    Parameters
    ----------
    path : Path
        File to write.
    base_rate : float
        Rate of the average loan.
    points : array, shape (features,)
        Rate points of each feature.
    names : sequence of str
        Each feature with the loan's own value.
    lang : {"en", "zh"}
        Language of the labels; Chinese needs `chinese_font`.
    """
    why = shap.Explanation(
        values=points * _PER_POINT,
        base_values=base_rate * _PER_POINT,
        feature_names=[_label(name, lang) for name in names],
    )
    with _drawing(path, lang):
        shap.plots.waterfall(why, max_display=WATERFALL_FACTORS, show=False)
        main, below, above = plt.gcf().axes
        average = _said("average", lang).format(base_rate * _PER_POINT)
        forecast = _said("forecast", lang).format((base_rate + points.sum()) * _PER_POINT)
        # The ticks that shap marks as E[f(X)] and f(x).
        for axes, text in ((below, "\n" + average), (above, forecast)):
            axes.set_xticks([axes.get_xticks()[0]], [text], fontsize=12, ha="center")
        main.set_xlabel("\n" + _said("points", lang), fontsize=12)
        # shap writes every label twice, the second time from its last equals sign on.
        shown = main.get_yticks()[: len(main.get_yticks()) // 2]
        labels = [tick.get_text() for tick in main.get_yticklabels()[: len(shown)]]
        hidden = len(points) - WATERFALL_FACTORS + 1
        if hidden > 1:
            labels[0] = _said("others", lang).format(hidden)
        main.set_yticks(shown, labels, color="black")


def draw_beeswarm(
    path: Path, points: Array, values: NDArray[Any], names: Sequence[str], lang: Language = "en"
) -> None:
    """Draw what the leading factors do to each loan of a package, coloured by their values.

    Parameters
    ----------
    path : Path
        File to write.
    points : array, shape (loans, features)
        Rate points.
    values : array of object, shape (loans, features)
        Numbers, NaN where missing; texts stay grey.
    names : sequence of str
        Features.
    lang : {"en", "zh"}
        As in `draw_waterfall`.
    """
    why = shap.Explanation(
        values=points * _PER_POINT,
        data=values,
        feature_names=[_label(name, lang) for name in names],
    )
    with _drawing(path, lang):
        shap.plots.beeswarm(
            why,
            max_display=SWARM_FACTORS,
            show=False,
            plot_size=(9.0, 0.52 * min(SWARM_FACTORS, len(names)) + 1.5),
            group_remaining_features=False,
            color_bar_label=_said("value", lang),
        )
        main, *bars = plt.gcf().axes
        main.set_xlabel(_said("points", lang), fontsize=12)
        main.tick_params("y", labelsize=11)
        for bar in bars:
            ends = [_said("low", lang), _said("high", lang)]
            bar.set_yticks(bar.get_yticks(), ends, rotation=0)


def draw_dependence(
    path: Path,
    points: Array,
    values: Array,
    definition: FeatureDefinition,
    lang: Language = "en",
) -> None:
    """Draw the rate points of a number or rank over its values, a dot a loan.

    Parameters
    ----------
    path : Path
        File to write.
    points, values : array, shape (loans,)
        Of the feature; values may be NaN.
    definition : FeatureDefinition
        The feature.
    lang : {"en", "zh"}
        As in `draw_waterfall`.
    """
    meaning = capital(definition.meaning_zh if lang == "zh" else definition.meaning_en)
    why = shap.Explanation(values=points * _PER_POINT, data=values, feature_names=meaning)
    with _drawing(path, lang):
        axes = plt.gcf().subplots()
        plt.gcf().set_size_inches(7, 4.5)
        # The far ends, where few loans lie, would press the others together.
        ends = {} if definition.levels else {"xmin": "percentile(1)", "xmax": "percentile(99)"}
        shap.plots.scatter(why, show=False, ax=axes, **ends)
        axes.set_ylabel(_said("points", lang))
        axes.set_xlabel(_label(meaning, lang, width=70))
        if definition.levels:
            labels = [level_label(definition.name, level) for level in definition.levels]
            names = [(label.zh or label.en) if lang == "zh" else label.en for label in labels]
            axes.set_xticks(range(len(names)), names)
        elif definition.unit == "ratio":
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        else:
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))


def _said(text: str, lang: Language) -> str:
    label = _TEXTS[text]
    return label.zh if lang == "zh" else label.en


def _label(text: str, lang: Language, width: int = 44) -> str:
    return "\n".join(textwrap.wrap(text, width // 2 if lang == "zh" else width))
