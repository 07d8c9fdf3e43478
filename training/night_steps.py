"""The work of a night's steps. Doing a step again changes nothing that it has done already."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from features.durable import write_durably
from features.horizons import HORIZONS_MONTHS
from features.portfolio import Portfolio
from features.recent_cash import latest_window, loans_in
from features.targets import realised_recovery
from models import registry
from models.bundle import Bundle, read_bundle, write_bundle
from models.errors import RegistryError
from models.first_scores import TAG, ExpectedScores
from models.reference import CHAMPION, ModelReference
from models.registered import RegisteredVersion
from training.decision_log import add_decision, read_decisions
from training.drift import measure_drift
from training.night import REPORT, Night
from training.night_outcome import Outcome
from training.night_report import night_report
from training.night_training import train_night, way_of, way_tonight
from training.night_trial import inspect_shipment, run_trial
from training.night_tuning import tuned_for
from training.promotion import judge
from training.recent_cash import expected_in
from training.tracking import tracked_run
from training.train import Trained
from training.train_record import record_training


def _champion(night: Night) -> RegisteredVersion | None:
    """The champion; None where no model of the name was ever registered."""
    file = night.mlflow.file
    if file is not None and not file.is_file() and not _had_champion(night):
        return None
    try:
        return registry.show(night.mlflow, ModelReference(night.name, None, CHAMPION)).of
    except RegistryError:
        if _had_champion(night):
            raise
        return None


def _had_champion(night: Night) -> bool:
    """Whether an earlier night of this store made one: then its absence is a fault."""
    return any(entry["model"] == night.name for entry in read_decisions(night.decisions))


def find_changes(night: Night) -> dict[str, Any]:
    """What is new since the champion was trained; files verified first."""
    night.store.verify()
    return changes_since(night, _champion(night))


def changes_since(night: Night, champion: RegisteredVersion | None) -> dict[str, Any]:
    """What is new since a champion was trained."""
    since = 0
    if champion is not None:
        bundle = registry.load(night.mlflow, champion.reference)
        since = int(bundle.provenance.settings.get("store_commit", -1)) + 1
    counts: dict[str, int] = {}
    for commit in night.store.commits[since:]:
        for key, value in commit.counts.items():
            counts[key] = counts.get(key, 0) + value
    portfolio = night.store.portfolio(learnable=True)
    loans = portfolio.tape.select(pl.len()).collect(engine="streaming").item()
    return {
        "champion_version": None if champion is None else champion.version,
        "commits": [commit.number for commit in night.store.commits[since:]],
        "counts": counts,
        "loans": int(loans),
        "observed_until_date": portfolio.meta.observed_until_date.isoformat(),
        "outcomes": _outcomes(portfolio),
    }


def _outcomes(portfolio: Portfolio) -> int:
    """Loans watched to the first horizon, or resolved."""
    watched = pl.col("observed_months") >= HORIZONS_MONTHS[0]
    if portfolio.meta.recovery_timing != "monthly":
        watched = pl.col("is_resolved")
    found = realised_recovery(portfolio).select(watched.sum()).collect(engine="streaming")
    return int(found.item() or 0)


def _standing(night: Night, changes: dict[str, Any]) -> Bundle | None:
    version = changes["champion_version"]
    if version is None:
        return None
    return registry.load(night.mlflow, ModelReference(night.name, version, None))


def find_drift(night: Night, changes: dict[str, Any]) -> dict[str, Any]:
    """Drift of features and cash against the champion; none without one."""
    champion = _standing(night, changes)
    if champion is None:
        return {"features": [], "cash": [], "alarms": [], "cash_drifted": False}
    return measure_drift(
        champion.model,
        night.store.portfolio(learnable=True),
        night.settings.drift,
        night.settings.gate.most_loans,
    ).as_document()


def find_due(night: Night, changes: dict[str, Any], drift: dict[str, Any]) -> dict[str, Any]:
    """Whether a challenger is trained tonight, and every reason for it."""
    champion = _standing(night, changes)
    reasons = []
    if night.forced:
        reasons.append("forced")
    if champion is None:
        reasons.append("there is no champion")
    else:
        told = champion.provenance
        was = int(told.settings.get("outcomes", 0))
        share = (changes["outcomes"] - was) / was if was else float("inf")
        if share >= night.settings.due.new_label_share:
            reasons.append(f"{changes['outcomes'] - was:,} new outcomes beside {was:,}")
        known, now = date.fromisoformat(told.known_on), night.store.meta.observed_until_date
        months = (now.year - known.year) * 12 + now.month - known.month
        if months >= night.settings.due.age_months:
            reasons.append(f"the champion's knowledge is {months} months old")
    reasons += drift["alarms"]
    eve = latest_window(night.store.meta, night.settings.gate.trial_months).eve
    # Both fitted the same way on what was known on the eve would be one and the same.
    too_early = (
        champion is not None
        and night.tuned is None
        and not (drift["cash_drifted"] and _is_redrawn(night, champion))
        and date.fromisoformat(champion.provenance.known_on) > eve
    )
    return {
        "due": night.forced or (bool(reasons) and not too_early),
        "reasons": reasons,
        "too_early": too_early,
    }


def _is_redrawn(night: Night, champion: Bundle) -> bool:
    """Whether a challenger that is drawn level tonight is so otherwise than the champion was."""
    return way_of(champion.provenance).drawn_months != night.settings.drift.drawn_months


def fit_challenger(
    night: Night, changes: dict[str, Any], drift: dict[str, Any], tuned: dict[str, Any]
) -> Trained:
    """Train, and write the bundle into the night's folder."""
    portfolio = night.store.portfolio(learnable=True)
    search = tuned_for(night, tuned)
    drawn = night.settings.drift.drawn_months if drift["cash_drifted"] else None
    way = way_tonight(portfolio, _standing(night, changes), search, drawn)
    origin: dict[str, Any] = {
        "store_commit": night.store.last.number,
        "outcomes": changes["outcomes"],
    }
    if search is not None:
        origin["tuned"] = search.origin
    most = night.settings.gate.most_loans
    trained = train_night(portfolio, way, origin, most)
    write_bundle(night.bundle_folder, trained.bundle)
    return trained


def train_challenger(
    night: Night, changes: dict[str, Any], drift: dict[str, Any], tuned: dict[str, Any]
) -> dict[str, Any]:
    """Train in an MLflow run."""
    portfolio = night.store.portfolio(learnable=True)
    with tracked_run("train", portfolio, store=night.mlflow, tags=night.tags) as run:
        trained = fit_challenger(night, changes, drift, tuned)
        record_training(run, trained)
        return {
            "bundle_version": trained.bundle.version,
            "run_id": run.run_id,
            "settings": trained.bundle.provenance.settings,
            "accuracy": trained.bundle.accuracy,
            "caveats": list(trained.bundle.caveats),
        }


def judge_challenger(night: Night, changes: dict[str, Any]) -> dict[str, Any]:
    """Decision of the gate; the first model of all has no one to be held against."""
    champion = _standing(night, changes)
    if champion is None:
        return {"decision": "promote", "reason": "the first model", "checks": [], "figures": {}}
    folder = night.bundle_folder
    shipped = read_bundle(folder)
    limits = night.settings.gate
    trial, unjudged = run_trial(night.store, champion, shipped, limits)
    now = night.store.portfolio(learnable=True)
    shipment = inspect_shipment(folder, shipped, now, limits, unjudged)
    return judge(trial, shipment, limits).as_document()


def register_challenger(night: Night, trained: dict[str, Any]) -> dict[str, Any]:
    """Register the bundle once, whatever was killed before."""
    own = [
        version
        for version in _versions(night)
        if version.bundle_version == trained["bundle_version"]
    ]
    folder = night.bundle_folder
    made = own[0] if own else registry.register(night.mlflow, folder, trained["run_id"], night.name)
    registry.set_tag(night.mlflow, made.reference, TAG, _expected_scores(night, folder))
    return {"version": made.version}


def _expected_scores(night: Night, folder: Path) -> str:
    """Where the first scores in service should lie, from loans still in workout."""
    portfolio = night.store.portfolio(learnable=True)
    limits = night.settings.gate
    window = latest_window(portfolio.meta, limits.trial_months)
    loans = loans_in(portfolio, window, limits.most_loans)
    rates = expected_in(read_bundle(folder).model, portfolio, loans).ultimate_rate
    return ExpectedScores.of(rates, loans["asset_class"]).model_dump_json()


def _versions(night: Night) -> list[RegisteredVersion]:
    try:
        return registry.versions(night.mlflow, night.name)
    except RegistryError:
        return []


def carry_out(night: Night, parts: dict[str, Any]) -> dict[str, Any]:
    """Bring the decision into the registry and onto the record.

    What the record holds of this night stands: people and services may have decided since.
    """
    changes, trained, verdict = parts["changes"], parts["trained"], parts["gate"]
    if not parts["due"]["due"]:
        champion = changes["champion_version"]
        return {"outcome": "nothing_due", "champion_version": champion, "reason": "nothing is due"}
    decided = [one for one in read_decisions(night.decisions) if one["id"] == night.identity]
    if decided:
        return _as_told(decided[0])
    version, reason = trained["version"], verdict["reason"]
    outcome: Outcome = "refused" if verdict["decision"] == "refuse" else "held"
    standing = _champion(night)
    champion = None if standing is None else standing.version
    if verdict["decision"] == "promote":
        obstacle = _obstacle(night, version, champion, changes["champion_version"])
        if obstacle is None:
            outcome = "first_champion" if changes["champion_version"] is None else "promoted"
            if champion != version:
                registry.promote(night.mlflow, ModelReference(night.name, version, None))
            champion = version
        else:
            reason = obstacle
    entry = add_decision(
        night.decisions,
        {
            "id": night.identity,
            "outcome": outcome,
            "model": night.name,
            "version": version,
            "bundle_version": trained["bundle_version"],
            "former_champion": changes["champion_version"],
            "champion_version": champion,
            "reason": reason,
            "by": "npl retrain",
        },
    )
    return _as_told(entry)


def _as_told(entry: dict[str, Any]) -> dict[str, Any]:
    told = {name: entry[name] for name in ("outcome", "champion_version", "reason")}
    return told | {"decision_hash": entry["hash"]}


def _obstacle(night: Night, version: int, standing: int | None, judged: int | None) -> str | None:
    """Why a version that won is not promoted all the same; None where nothing is in the way."""
    if standing == version:
        return None
    if standing != judged:
        return (
            f"the champion is version {standing or 'none'} by now, and the challenger was held"
            f" against version {judged or 'none'}"
        )
    own = registry.show(night.mlflow, ModelReference(night.name, version, None)).of
    # This night, killed before its decision was on the record, had promoted it.
    return "it was promoted, and taken back since" if own.promoted_at else None


def write_report(night: Night, parts: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
    """Write the night's page."""
    text = night_report(night.identity, night.store, night.settings, parts, decided)
    path = night.journal.folder / REPORT
    write_durably(path, text)
    return {"report": str(path)}
