"""The page's charts as pictures of their own: SVG that needs nothing beside it."""

from typing import Final

from models.package import PackageValuation
from models.package_report.charts import (
    WIDTH,
    Chart,
    cash_chart,
    distribution_chart,
    waterfall_chart,
)
from models.package_report.page import environment

PICTURES: Final = ("cash", "waterfall", "distribution")
_NAMESPACE: Final = 'xmlns="http://www.w3.org/2000/svg" '
_TEMPLATE: Final = """{% import "package_charts.html" as charts -%}
{{ charts.hatching() }}|{{ charts[name](chart, width) }}"""


def render_picture(valuation: PackageValuation, name: str) -> str | None:
    """One chart of a valuation as an SVG document.

    Parameters
    ----------
    valuation : PackageValuation
        From `models.package.value_package`.
    name : {"cash", "waterfall", "distribution"}
        Which.

    Returns
    -------
    str, optional
        None where the valuation has nothing to draw.
    """
    charts = {"cash": cash_chart, "waterfall": waterfall_chart, "distribution": distribution_chart}
    chart: Chart | None = charts[name](valuation)
    if chart is None:
        return None
    page = environment()
    drawn = page.from_string(_TEMPLATE).render(name=name, chart=chart, width=WIDTH)
    hatching, _, figure = drawn.partition("|")
    definitions = hatching[hatching.index("<defs>") : hatching.index("</defs>")] + "</defs>"
    picture = figure[figure.index("<svg ") : figure.index("</svg>")] + "</svg>"
    head, _, rest = picture.partition(">")
    style = page.loader.get_source(page, "package.css")[0] if page.loader else ""
    head = head.replace("<svg ", f"<svg {_NAMESPACE}", 1)
    return f"{head}><style>{style}</style>{definitions}{rest}\n"
