"""The document of a deviation report, `report.json`: its parts and its version."""

import json
from datetime import date
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from training.errors import TrainingError
from training.report.part import Light, Part, Thresholds
from training.report.sections.accuracy import Accuracy
from training.report.sections.calibration import Calibration
from training.report.sections.correction import Corrections
from training.report.sections.coverage import Coverage
from training.report.sections.curves import Curve
from training.report.sections.data import Data
from training.report.sections.default_age import DefaultAges
from training.report.sections.discrimination import Discrimination
from training.report.sections.leakage import Leakage
from training.report.sections.limits import Limits
from training.report.sections.misses import Misses
from training.report.sections.reforecast import Reforecast
from training.report.sections.reproduction import Reproduction
from training.report.sections.segments import Segments
from training.report.sections.stability import Stability
from training.report.sections.timing import Timing
from training.report.sections.views import View

FORMAT: Final = "npl-deviation-report"
VERSION: Final = 1


class About(Part):
    """What was judged, and how."""

    portfolio: str
    source_system: str
    currency: str = Field(description="ISO 4217; every amount is in it.")
    observed_until_date: date
    recovery_basis: str
    recovery_timing: str
    model_view: str
    window: str
    data_view: str
    horizon_months: int | None = Field(description="Of the headline; missing: the ultimate.")


class SummaryLine(Part):
    """One line of the summary."""

    topic: str
    light: Light | None
    en: str
    zh: str


class Change(Part):
    """One thing that differs from the last report."""

    topic: str
    before: float | str | None
    now: float | str | None
    en: str
    zh: str


class Changes(Part):
    """What changed since the last report."""

    previous_data_hash: str | None
    previous_observed_until_date: date
    changes: tuple[Change, ...]


class Report(Part):
    """A deviation report. Rates are fractions, amounts are in the currency of the portfolio."""

    format: Literal["npl-deviation-report"] = "npl-deviation-report"
    version: Literal[1] = 1
    about: About
    light: Light | None = Field(
        description="Red where cash deviates beyond the red limit or a leak is suspected; amber"
        " where any line is amber or red; else green."
    )
    summary: tuple[SummaryLine, ...]
    since_last: Changes | None
    data: Data
    accuracy: Accuracy
    views: tuple[View, ...]
    segments: Segments
    reforecasts: tuple[Reforecast, ...]
    curves: tuple[Curve, ...]
    timing: tuple[Timing, ...]
    calibration: Calibration
    discrimination: Discrimination
    default_age: DefaultAges
    stability: Stability
    coverage: Coverage
    corrections: Corrections
    misses: Misses
    leakage: Leakage
    limits: Limits
    reproduction: Reproduction
    thresholds: Thresholds

    def text(self) -> str:
        """The document as it is written: the same report, the same bytes."""
        document = self.model_dump(mode="json")
        return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def read_report(path: Path) -> Report:
    """Read a report's document.

    Raises
    ------
    TrainingError
        When there is no such file, or it is no report of this version.
    """
    try:
        return Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}; give a report.json") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise TrainingError(
            f"{path}: no {FORMAT} of version {VERSION} ({where}: {first['msg']}); make the report"
            " anew with this version"
        ) from error


def json_schema() -> str:
    """JSON schema of the document, from the models that check it."""
    return json.dumps(Report.model_json_schema(), ensure_ascii=False, indent=1) + "\n"
