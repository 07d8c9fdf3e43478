"""Example loans that a bundle carries, with the figures it gave them when it was trained.

They are nobody's loans: made up in training from what is usual in an asset class; see
`training.examples`. A registry is read by more people than a portfolio is.
"""

from math import isclose
from typing import Final, Self

import polars as pl
from polars import selectors as cs
from pydantic import BaseModel, ConfigDict

from models.errors import BundleError

Field = bool | int | float | str | None
Row = dict[str, Field]
_ID: Final = "loan_id"


class Examples(BaseModel):
    """Loans as canonical JSON, and what the model says of each.

    Attributes
    ----------
    loans : tuple of dict
        Fields of the tape by name; days as text. A field that is not known is left out, an extra
        field of the model, which every tape must have, is None.
    ledger : tuple of dict
        Cash of some of them.
    figures : tuple of dict
        For each loan every number of its scored row, reasons included: exposure, rates, quantiles,
        points. A number the model does not give is None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loans: tuple[Row, ...]
    ledger: tuple[Row, ...]
    figures: tuple[dict[str, float | None], ...]

    @classmethod
    def of(cls, loans: list[Row], ledger: list[Row], scores: pl.DataFrame) -> Self:
        """Examples with their figures; loans that the model gives no rate are left out.

        Parameters
        ----------
        loans, ledger
            As the attributes.
        scores : polars.DataFrame
            Of these loans, in their order; see `models.scoring.score_loans`.
        """
        scored = scores["recovery_rate"].is_finite().fill_null(False).to_list()
        kept = [loan for loan, known in zip(loans, scored, strict=True) if known]
        names = {loan[_ID] for loan in kept}
        figures = scores.filter(pl.Series(scored)).select(cs.float()).to_dicts()
        cash = tuple(row for row in ledger if row[_ID] in names)
        return cls(loans=tuple(kept), ledger=cash, figures=tuple(figures))

    def require_same(self, scores: pl.DataFrame, version: str) -> None:
        """Refuse a model that says anything else of its examples than it did when it was trained.

        Parameters
        ----------
        scores : polars.DataFrame
            Of some of the loans, with reasons; every figure stored of them must be there, the same
            to the last bit.
        version : str
            Of the bundle, for the message.

        Raises
        ------
        BundleError
            Naming loan, figure, what is stored and what was found.
        """
        stored = {loan[_ID]: told for loan, told in zip(self.loans, self.figures, strict=True)}
        for row in scores.to_dicts():
            for name, told in stored[row[_ID]].items():
                found = row.get(name)
                if found != told:
                    raise BundleError(
                        f"model {version} does not say what it said when it was trained: {name} of"
                        f" example {row[_ID]} was {told!r} and is {found!r}; {_mend(found, told)}"
                    )


def _mend(found: float | None, told: float | None) -> str:
    last_bits = found is not None and told is not None and isclose(found, told, rel_tol=1e-9)
    if last_bits:
        return (
            "only the last bits differ, as on another kind of processor or with other libraries:"
            " train it, or have it scored, where it is to serve"
        )
    return "restore the model, or use the version of this program that trained it"
