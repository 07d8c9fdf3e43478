"""Base of every part of a report's document: frozen, and nothing unknown in it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Light = Literal["green", "amber", "red"]


class Part(BaseModel):
    """A part of the document."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Thresholds(Part):
    """Limits the lights are set by. Practice of the market, not rules: printed in every report."""

    amber_deviation_rate: float = Field(default=0.10, description="Cash deviation, amber beyond.")
    red_deviation_rate: float = Field(default=0.20, description="Cash deviation, red beyond.")
    significance: float = Field(default=0.05, description="Level of every test, after correction.")
    amber_psi: float = Field(default=0.10, description="PSI, amber from.")
    red_psi: float = Field(default=0.25, description="PSI, red from.")
    amber_late_months: float = Field(default=1.0, description="Months late from which: amber.")
    red_late_months: float = Field(default=3.0, description="Months late from which: red.")
    red_loss_points: float = Field(
        default=0.05,
        description="Loss underestimated, rate points, and beyond chance: red.",
    )
    amber_coverage_points: float = Field(
        default=0.05, description="Coverage of intervals off by so many points: amber."
    )
    red_coverage_points: float = Field(
        default=0.10, description="Coverage of intervals off by so many points: red."
    )
    leak_r2: float = Field(
        default=0.60,
        description="R2 above which leakage is suspected first.",
    )

    def deviation_light(self, rate: float | None) -> Light | None:
        """Light of a cash deviation; none where there is no rate."""
        if rate is None:
            return None
        # A deviation at the limit is not beyond it, whatever its last binary digit.
        size = round(abs(rate), 9)
        if size > self.red_deviation_rate:
            return "red"
        return "amber" if size > self.amber_deviation_rate else "green"


def worst(lights: list[Light | None]) -> Light | None:
    """Worst of several lights; none where no one is lit."""
    order: tuple[Light, ...] = ("green", "amber", "red")
    lit = [light for light in lights if light is not None]
    return max(lit, key=order.index) if lit else None
