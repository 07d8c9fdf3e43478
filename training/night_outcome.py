"""What a night comes to: one line for a scheduler, and figures for Prometheus."""

from pathlib import Path
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from features.replacing import replacing_file

Outcome = Literal["first_champion", "promoted", "refused", "held", "nothing_due"]
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "first_champion", "promoted", "refused", "held", "nothing_due",
)  # fmt: skip
# Exit code of a night that waits for a person; all other outcomes are a night well done.
HELD_EXIT: Final = 6
# Exit code of a past night that came out otherwise when it was done again.
DIFFERS_EXIT: Final = 8


def exit_code(outcome: Outcome) -> int:
    """Exit code of an outcome, for a scheduler.

    Examples
    --------
    >>> exit_code("refused"), exit_code("held")
    (0, 6)
    """
    return HELD_EXIT if outcome == "held" else 0


def write_metrics(path: Path, result: dict[str, Any], seconds: dict[str, float]) -> None:
    """Write figures of a night for the textfile collector of Prometheus' node exporter.

    Parameters
    ----------
    path : Path
        File ending in `.prom`.
    result : dict
        As `training.nightly.run_night` gives it.
    seconds : dict of str to float
        Wall time of the steps that were done now.
    """
    registry = CollectorRegistry()

    def gauge(name: str, told: str, value: float) -> None:
        Gauge(f"npl_night_{name}", told, registry=registry).set(value)

    outcome = Gauge(
        "npl_night_outcome", "1 for what the last night came to", ["outcome"], registry=registry
    )
    for one in OUTCOMES:
        outcome.labels(outcome=one).set(one == result["outcome"])
    steps = Gauge("npl_night_step_seconds", "wall time of a step", ["step"], registry=registry)
    for name, value in seconds.items():
        steps.labels(step=name).set(value)
    completed = Gauge(
        "npl_night_completed_timestamp_seconds", "when the last night was done", registry=registry
    )
    completed.set_to_current_time()
    gauge("store_commit", "commit of the store that the night read", result["store_commit"])
    gauge("loans", "loans in the store", result["loans"])
    gauge("drift_alarms", "features and cash that drifted", len(result["drift_alarms"]))
    champion = result["champion_version"]
    if champion is not None:
        gauge("champion_version", "registered version in force", champion)
    for name, value in result["gate_figures"].items():
        gauge(f"gate_{name}", "figure of the last gate", value)
    with replacing_file(path) as aside:
        write_to_textfile(str(aside), registry)
