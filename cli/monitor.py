"""`npl monitor`: every valuation of the service beside its later cash."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

NAME: Final = "monitor"
PAGE, DOCUMENT = "monitoring.html", "monitoring.json"
# Exit code of an early warning: not a failure, but somebody should look.
WARNED_EXIT: Final = 7


def run(
    store: Annotated[Path, typer.Option(help="Portfolio store; see 'npl ingest'.")],
    out: Annotated[Path, typer.Option(help="Folder for the page and the figures.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the service.")] = None,
    database: Annotated[str | None, typer.Option(help="Database URL.")] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Cash as it was known at the end of this day."),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="File (.prom) for Prometheus' textfile collector.")
    ] = None,
) -> None:
    """Hold forecasts on record against later cash, by package, vintage and model version.

    Exit codes beside those of 'npl': 7 an early warning, beyond what chance brings to so many
    groups.
    """
    import json

    from cli.serve import settings_of
    from features.replacing import replacing_folder
    from features.store import open_store
    from models.bundle import read_bundle
    from models.errors import MonitoringError
    from models.package_report.monitoring_page import render_overview
    from service.identifiers import KeyedHash
    from service.known_cash import KnownCash
    from service.monitoring import overview
    from service.storage import existing_database

    settings = settings_of(data=data, database=database)
    hashes = KeyedHash(settings.secret(make=False))
    engine = existing_database(settings)
    held = open_store(store)
    if as_of is not None:
        held = held.as_of(as_of.date())
    held.verify()
    known = KnownCash.of(held, hashes)
    archive = settings.data_folder / "bundles"
    document = overview(
        engine,
        settings.data_folder,
        lambda version: read_bundle(archive / version),
        known,
    )
    with replacing_folder(out, (PAGE, DOCUMENT), "monitoring report", MonitoringError) as folder:
        (folder / PAGE).write_text(render_overview(document), encoding="utf-8")
        text = json.dumps(document, ensure_ascii=False, indent=1)
        (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")
    if metrics is not None:
        _write_metrics(metrics, document)
    _tell(document, out)
    if document["alarms"]:
        raise typer.Exit(WARNED_EXIT)


def _tell(document: dict[str, Any], out: Path) -> None:
    from cli import console

    loans = document["loans"]
    console.out.print(
        f"{loans['found']:,} of {loans['valued']:,} valued loans followed, cash known until"
        f" {document['known_until_date']}; look at {out / PAGE}",
        highlight=False,
    )
    formats = {"model_version": "s", "loans": ",d", "forecast_amount": ",.0f"}
    formats |= {"actual_amount": ",.0f", "low_amount": ",.0f", "high_amount": ",.0f"}
    formats |= {"ratio": ".1%", "status": "s"}
    console.print_table(document["models"], "realised against forecast to date", formats)
    for alarm in document["alarms"]:
        named = ", ".join(f"{key} {value}" for key, value in alarm.items() if key != "by")
        console.err.print(f"early warning: {named}", highlight=False)
    for said in document["left_out"]:
        console.err.print(f"not followed: {said}", highlight=False)


def _write_metrics(path: Path, document: dict[str, Any]) -> None:
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    from features.replacing import replacing_file

    registry = CollectorRegistry()
    groups = Gauge("npl_monitoring_groups", "Groups looked at.", ["by"], registry=registry)
    warned = Gauge("npl_monitoring_warnings", "Outside their band.", ["by"], registry=registry)
    alarms = Gauge("npl_monitoring_alarms", "Beyond chance.", ["by"], registry=registry)
    ratio = Gauge(
        "npl_monitoring_actual_to_forecast", "Cash to date.", ["model_version"], registry=registry
    )
    for by in ("packages", "vintages", "models"):
        groups.labels(by).set(len(document[by]))
        warned.labels(by).set(sum(row["warning"] is not None for row in document[by]))
        alarms.labels(by).set(sum(alarm["by"] == by for alarm in document["alarms"]))
    for row in document["models"]:
        if row["ratio"] is not None:
            ratio.labels(row["model_version"]).set(row["ratio"])
    done = Gauge("npl_monitoring_completed_timestamp_seconds", "When.", registry=registry)
    done.set_to_current_time()
    with replacing_file(path) as aside:
        write_to_textfile(str(aside), registry)
