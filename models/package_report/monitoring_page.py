"""Valuations beside their later cash as self-contained HTML pages."""

from typing import Any, Final

from models.package_report.charts import WIDTH
from models.package_report.monitoring_chart import band_chart
from models.package_report.page import environment
from models.wording import Label

_STATUS: Final = {
    "within": Label("within its band", "区间内"),
    "early_warning": Label("early warning", "预警"),
    "insufficient": Label("no band: no cash was forecast", "未预测现金，无预警区间"),
    "too_early": Label("too early: no month is booked yet", "尚无入账月份"),
}
_WARNINGS: Final = {
    "below": Label("below", "低于区间"),
    "above": Label("above", "高于区间"),
    None: Label("", ""),
}
_TABLES: Final = (
    ("models", Label("By model version", "按模型版本")),
    ("vintages", Label("By cut-off quarter and model version", "按基准日季度与模型版本")),
    ("packages", Label("By package", "按资产包")),
)
_KEYS: Final = {
    "package_id": Label("Package", "资产包"),
    "vintage": Label("Cut-off quarter", "基准日季度"),
    "model_version": Label("Model version", "模型版本"),
}


def render_package_monitoring(document: dict[str, Any]) -> str:
    """Page of one package.

    Parameters
    ----------
    document : dict
        From `service.monitoring.package_monitoring`.

    Returns
    -------
    str
        HTML. The same document gives the same page.
    """
    return _rendered(
        "monitoring_package.html",
        document,
        chart=band_chart(document["months"], document["currency"]),
        status=_STATUS[document["status"]],
    )


def render_overview(document: dict[str, Any]) -> str:
    """Page of all valuations on record.

    Parameters
    ----------
    document : dict
        From `service.monitoring.overview`.

    Returns
    -------
    str
        HTML. The same document gives the same page.
    """
    curves = [
        (version, months, band_chart(months, document["currency"]))
        for version, months in document["curves"].items()
    ]
    tables = [
        (label, [(name, _KEYS[name]) for name in _KEYS if name in rows[0]], rows)
        for table, label in _TABLES
        if (rows := document[table])
    ]
    return _rendered("monitoring_overview.html", document, curves=curves, tables=tables)


def _rendered(template: str, document: dict[str, Any], **more: Any) -> str:
    return (
        environment()
        .get_template(template)
        .render(d=document, chart_width=WIDTH, warnings=_WARNINGS, statuses=_STATUS, **more)
    )
