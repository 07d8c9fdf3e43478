"""`npl demo`: the whole way on simulated loans, from raw records to a valued package."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from features.portfolio import Portfolio
    from models.package import PackageValuation

NAME: Final = "demo"
_LOANS: Final = 6_000
_SEED: Final = 7


def run(
    out: Annotated[Path, typer.Option(help="Folder to write everything to.")] = Path("demo"),
    serve: Annotated[bool, typer.Option("--serve", help="Serve the model afterwards.")] = False,
    port: Annotated[int, typer.Option(help="Port to serve on.")] = 8000,
) -> None:
    """Simulate, check, train, score a package, say what it is worth and why; page and workbook."""
    from cli import check, console, simulate
    from cli.outputs import write_text
    from cli.train import print_accuracy, tracked_training, usable_portfolio
    from features.portfolio import write_portfolio
    from models.mlflow_store import Store
    from models.package import value_package
    from models.package_report.page import render_page
    from models.package_report.workbook import write_workbook
    from models.reference import DEFAULT_NAME
    from models.scoring import score_loans
    from models.tape_file import checked_input

    console.out.rule("1. simulate a portfolio")
    simulate.run(out / "portfolio", _LOANS, _SEED)
    console.out.rule("2. check it")
    check.run(out / "portfolio")
    console.out.rule("3. train, leaving out the package to be valued")
    whole = usable_portfolio(out / "portfolio", strict=False)
    known, package = set_apart(whole)
    write_portfolio(out / "history", known.meta, known.tape, known.ledger)
    write_portfolio(out / "package", package.meta, package.tape, package.ledger)
    with console.err.status("training"):
        # A store of its own: a demonstration is no candidate for anybody's champion.
        trained, _ = tracked_training(
            usable_portfolio(out / "history", strict=True),
            out / "bundle",
            Store.in_folder(out / "mlruns"),
            DEFAULT_NAME,
        )
    print_accuracy(trained)
    console.out.rule("4. score and value the package")
    checked = checked_input(out / "package", trained.bundle, strict=True)
    scores = score_loans(trained.bundle.model, checked.tape, checked.ledger, explain=True)
    valuation = value_package(
        scores, checked.tape.collect(), trained.bundle.model, trained.bundle.portfolio
    )
    print_valuation(valuation)
    write_text(render_page(valuation, trained.bundle), out / "package.html")
    write_workbook(out / "package.xlsx", valuation, scores, trained.bundle)
    console.out.print(
        f"\nlook at {out / 'package.html'} and {out / 'package.xlsx'}", highlight=False
    )
    if serve:
        serve_demo(out, port)


def serve_demo(out: Path, port: int) -> None:
    """Serve the model of a demonstration, and say how to ask it; ends when told to stop."""
    import json

    import polars as pl

    from cli.outputs import write_text
    from service.keys import create_key
    from service.server import serve
    from service.settings import Settings
    from service.storage import open_database

    settings = Settings(
        model=str(out / "bundle"), data_folder=out / "service", host="127.0.0.1", port=port
    )
    loans = pl.scan_parquet(out / "package" / "tape.parquet").head(2).collect().to_dicts()
    told = [{n: v for n, v in loan.items() if v is not None} for loan in loans]
    body = json.dumps({"loans": told, "reasons": True}, ensure_ascii=False, indent=1, default=str)
    write_text(body + "\n", out / "request.json")
    secret = create_key(open_database(settings), "demonstration", "operator")[1]
    address = f"http://127.0.0.1:{port}"
    typer.echo(
        f"\nask the service, from another terminal (its pages: {address}/docs):\n\n"
        f"curl -s {address}/v1/recoveries -H 'Authorization: Bearer {secret}'"
        f" --data @{out / 'request.json'}\n"
    )
    serve(settings)


def set_apart(portfolio: "Portfolio") -> "tuple[Portfolio, Portfolio]":
    """The portfolio without its newest package of 50 loans or more, and that package.

    The package keeps the cash up to its cut-off only, as a buyer would see it.
    """
    import polars as pl

    packages = (
        portfolio.tape.group_by("package_id")
        .agg(pl.col("snapshot_date").max(), pl.len().alias("loans"))
        .filter(pl.col("loans") >= 50)
        .sort("snapshot_date", "loans", "package_id")
        .collect()
    )
    name, cut_off = packages["package_id"][-1], packages["snapshot_date"][-1]
    ids = portfolio.tape.filter(pl.col("package_id") == name).select("loan_id")
    known = portfolio.with_tables(
        portfolio.tape.filter(pl.col("package_id") != name),
        portfolio.ledger.join(ids, on="loan_id", how="anti", maintain_order="left"),
    )
    seen = portfolio.ledger.join(ids, on="loan_id", how="semi", maintain_order="left").filter(
        pl.col("period") <= cut_off, pl.col("recorded_at").dt.date() <= cut_off
    )
    package = portfolio.with_tables(
        portfolio.tape.filter(pl.col("package_id") == name).drop("closed_date", "disposal_status"),
        seen,
    )
    return known, package


def print_valuation(valuation: "PackageValuation") -> None:
    """Print what a package is worth and why."""
    import polars as pl

    from cli import console

    currency = valuation.meta.currency
    console.out.print(
        f"package {', '.join(valuation.package_ids)}: {valuation.loans:,} loans,"
        f" {valuation.borrowers:,} borrowers, cut-off {valuation.cut_off_dates[-1]}",
        highlight=False,
    )
    console.out.print(
        f"expected recovery, net of costs: {valuation.expected_recovery_amount:,.0f} {currency}",
        highlight=False,
    )
    if valuation.spread is not None:
        by = f" by month {valuation.spread_months}" if valuation.spread_months else ""
        console.out.print(
            f"  P10 to P90{by}: {valuation.spread.p10_amount:,.0f} to"
            f" {valuation.spread.p90_amount:,.0f} {currency}",
            highlight=False,
        )
    for basis in valuation.bases:
        if basis.recovery_rate is not None:
            denominator = basis.name.replace("_and_", " + ").replace("ead", "exposure")
            console.out.print(
                f"  {basis.recovery_rate:.1%} of {denominator} ({basis.amount:,.0f} {currency})",
                highlight=False,
            )
    curve = valuation.curve.filter(pl.col("horizon_months").is_not_null())
    console.print_table(
        curve.to_dicts(),
        "when: expected cumulative cash",
        {"horizon_months": ",d", "cumulative_amount": ",.0f", "cumulative_rate": ".1%"},
    )
    base = {"group": "average loan", "amount": valuation.base_amount}
    console.print_table(
        [base, *valuation.groups.to_dicts()],
        "why: what moves it from the average, in money",
        {"group": "s", "amount": "+,.0f"},
    )
