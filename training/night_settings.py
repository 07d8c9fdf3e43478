"""Settings of a night: when to train and search, what is drift, and the gate. One TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import TrainingError

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Months = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DueSettings(_Section):
    """When a training is due, besides drift.

    Attributes
    ----------
    new_label_share : float
        New cash outcomes since the champion, as a share of those it was trained on.
    age_months : int
        Age of the champion's knowledge.
    """

    new_label_share: Rate = 0.10
    age_months: Months = 6


class DriftSettings(_Section):
    """What counts as drift. A figure must exceed its limit and what chance explains.

    Attributes
    ----------
    psi : float
        Population stability index of a feature, new vintages against those trained on.
    feature_chance : float
        Probability that chance alone makes any feature exceed its limit.
    cash_chance : float
        The same for a deviation of cash.
    recent_months : int
        Vintages that count as new.
    cash_months : int
        Booked months of cash that are held against the champion's forecast.
    history_months : int
        Months before those, which say how far the champion was off already, and what chance does.
    level_months : int
        Latest months that make the level.
    sudden_rate, level_rate : float
        Deviation of cash from the forecast, in all or in an asset class: of the newest months
        against those before, and of the level.
    drawn_months : int
        Where cash drifted, a challenger is drawn level with these latest booked months, and so are
        its successors; see `training.recent_level`.
    """

    psi: Rate = 0.25
    feature_chance: Share = 0.01
    cash_chance: Share = 0.02
    recent_months: Months = 3
    cash_months: Months = 1
    history_months: Annotated[int, Field(ge=12)] = 24
    level_months: Months = 6
    sudden_rate: Rate = 0.15
    level_rate: Rate = 0.20
    drawn_months: Months = 3


class TuneSettings(_Section):
    """When settings are searched for, and for how long; between searches they are reused.

    Attributes
    ----------
    every_months : int
        Months of knowledge between searches, on a night that trains; 0 is never.
    trials : int
        Trials of a search; the four that stand without a search are among them.
    minutes : float
        Wall-clock minutes after which no trial begins.
    """

    every_months: Annotated[int, Field(ge=0)] = 0
    trials: Annotated[int, Field(ge=4)] = 20
    minutes: Rate = 60.0


class BacktestSettings(_Section):
    """The deviation report of a challenger that the gate does not refuse.

    Attributes
    ----------
    most_loans : int
        Loans drawn to walk through, which is what its time grows with; 0 is no backtest.
    language : {"zh", "en"}
        Of page and workbook.
    """

    most_loans: Annotated[int, Field(ge=0)] = 20_000
    language: Literal["zh", "en"] = "zh"


class GateSettings(_Section):
    """What a challenger must show to be promoted. Thresholds are practice, not rule.

    Attributes
    ----------
    trial_months : int
        Booked months of cash on which both are judged; neither has seen any of them.
    most_loans : int
        Loans judged at most.
    level : float
        Level of the one-sided paired test, clustered by vintage.
    least_vintages : int
        Fewer cannot tell.
    money_rate : float
        Deviation of cash in the trial that the challenger may have, or the champion's if larger;
        one that chance explains (p of 0.05 or more) is let pass.
    calibration : tuple of two floats
        Limits of the slope of realised on forecast cash.
    coverage_rate : float
        Share of outcomes that must lie within P10 to P90.
    segment_share : float
        Share of EAD from which an asset class counts.
    segment_worse_rate : float
        Relative increase of the deviance in such a class that is let pass, and one standard error.
    rank_champion, rank_judged : float
        Least rank correlation of the shipped forecasts with the champion's, and with those of
        the model that was judged.
    shift_rate : float
        Difference of the shipped model's total forecast from the judged one's.
    seconds : float
        Processor time to score 1,000 loans.
    megabytes : float
        Of the bundle.
    """

    trial_months: Months = 3
    most_loans: Annotated[int, Field(ge=1_000)] = 100_000
    level: Share = 0.01
    least_vintages: Annotated[int, Field(ge=8)] = 8
    money_rate: Rate = 0.20
    calibration: tuple[float, float] = (0.5, 2.0)
    coverage_rate: Share = 0.70
    segment_share: Share = 0.05
    segment_worse_rate: Rate = 0.05
    rank_champion: Share = 0.50
    rank_judged: Share = 0.90
    shift_rate: Rate = 0.15
    seconds: Rate = 5.0
    megabytes: Rate = 50.0


class NightSettings(_Section):
    """All settings of a night."""

    due: DueSettings = DueSettings()
    drift: DriftSettings = DriftSettings()
    tune: TuneSettings = TuneSettings()
    backtest: BacktestSettings = BacktestSettings()
    gate: GateSettings = GateSettings()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file; what it leaves out is as by default.

        Raises
        ------
        TrainingError
            Naming every faulty entry.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TrainingError(f"{path}: not valid TOML: {error}") from error
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
            )
            raise TrainingError(f"{path}: {faults}") from error

    def as_toml(self) -> str:
        """All settings, those by default too, as they would stand in a file."""
        return tomli_w.dumps(self.model_dump(mode="python"))


DEFAULT: Final = NightSettings()
