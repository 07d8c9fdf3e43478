"""The page a night leaves: what was new, what drifted, what was decided and why."""

from typing import Any

from features.store import PortfolioStore
from training.night_settings import NightSettings

_SHOWN_FEATURES = 10


def night_report(
    identity: str,
    store: PortfolioStore,
    settings: NightSettings,
    parts: dict[str, Any],
    decided: dict[str, Any],
) -> str:
    """Markdown of a night, the same for the same night.

    Parameters
    ----------
    identity : str
        Name of the night.
    store : PortfolioStore
        What it read.
    settings : NightSettings
        Printed whole.
    parts : dict
        Entries of the journal: `changes`, `drift`, `due`, `tuned`, `trained`, `gate`, `backtest`.
    decided : dict
        The decision as it was carried out.
    """
    changes, gate = parts["changes"], parts["gate"]
    champion = decided["champion_version"]
    lines = [
        f"# Night {identity}: {decided['outcome'].replace('_', ' ')}",
        "",
        f"{decided['reason']}",
        "",
        f"- portfolio {store.meta.name}, commit {store.last.number}, known at"
        f" {store.last.known_at.isoformat(timespec='seconds')}, observed until"
        f" {changes['observed_until_date']}",
        f"- {changes['loans']:,} loans, {changes['outcomes']:,} known outcomes",
        f"- champion now: version {champion}; before: {changes['champion_version'] or 'none'}",
        "",
        "## New since the champion was trained",
        "",
        *_table(["rows", "count"], [[k.replace("_", " "), f"{v:,}"]
                                    for k, v in changes["counts"].items()]),
        "",
        "## Drift",
        "",
        *([f"- **{alarm}**" for alarm in parts["drift"]["alarms"]] or ["None beyond chance."]),
        "",
        *_drift_tables(parts["drift"]),
        "## Training",
        "",
        *([f"- due: {why}" for why in parts["due"]["reasons"]] or ["Not due."]),
        *(
            ["- too early: the champion has seen the cash that a challenger would be judged on"]
            if parts["due"]["too_early"]
            else []
        ),
        *_trained(parts["tuned"], parts["trained"]),
        "",
        "## Gate",
        "",
        *_table(["check", "verdict", "figure"],
                [[c["name"], c["verdict"], c["told"]] for c in gate.get("checks", [])]),
        "",
        "## Backtest",
        "",
        *_backtest(parts["backtest"]),
        "",
        "## Settings",
        "",
        "```toml",
        settings.as_toml().rstrip(),
        "```",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _drift_tables(drift: dict[str, Any]) -> list[str]:
    cash = [
        [c["kind"], c["segment"], f"{c['first_month']} to {c['last_month']}",
         f"{c['deviation']:+.1%}", f"{c['p_value']:.1e}", "yes" if c["drifted"] else "no"]
        for c in drift["cash"]
    ]  # fmt: skip
    features = [
        [f["feature"], f"{f['psi']:.3f}", f"{f['expected']:.3f}", f"{f['chance_limit']:.3f}",
         "yes" if f["drifted"] else "no"]
        for f in drift["features"][:_SHOWN_FEATURES]
    ]  # fmt: skip
    return [
        *_table(["cash", "asset class", "months", "deviation", "p", "drift"], cash),
        "",
        *_table(["feature", "PSI", "expected by chance", "chance limit", "drift"], features),
        "",
    ]


def _backtest(backtest: dict[str, Any]) -> list[str]:
    if not backtest.get("made"):
        return [f"Not made: {backtest.get('told', 'nothing was trained')}."]
    figures = {name: value for name, value in backtest["figures"].items() if value is not None}
    return [
        f"[Deviation report](backtest/report.html), {backtest['light']}: {backtest['told']}.",
        "",
        *_table(["figure", "value"], [[name, f"{value:.4f}"] for name, value in figures.items()]),
    ]


def _trained(tuned: dict[str, Any], trained: dict[str, Any]) -> list[str]:
    if not trained:
        return []
    row = trained["accuracy"][0]
    figures = ", ".join(
        f"{name} {row[name]:.4f}" for name in ("r2", "mae", "rmse", "deviation") if row[name]
    )
    drawn = trained["settings"]["drawn_months"]
    level = [f"- drawn level with the cash of the latest {drawn} booked months"] if drawn else []
    return [
        f"- search: {tuned['told']}",
        *level,
        f"- version {trained['version']}, bundle {trained['bundle_version']}",
        f"- out of time from {row['held_out_from']}: {figures}",
        *(f"- note: {caveat}" for caveat in trained["caveats"]),
    ]


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
