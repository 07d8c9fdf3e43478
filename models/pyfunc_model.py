"""The registered model as MLflow loads and serves it: a tape in, scored rows out.

MLflow copies this file beside the bundle and runs it (its "model from code"), so nothing is
pickled. It scores the one way there is; see `models.request` and `models.scoring`.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from models.bundle import read_bundle
from models.request import check_bare_tape
from models.scoring import score_loans

_TAPE = "request"


class ServedBundle(PythonModel):
    """A bundle behind MLflow's own interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read and check the bundle; see `models.bundle.read_bundle`."""
        self._bundle = read_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Scored rows of a bare tape, one for each row, in its order.

        Parameters
        ----------
        context : PythonModelContext
            Not used: the bundle is read once, in `load_context`.
        model_input : pandas.DataFrame
            One row a loan; columns of the tape in any type the check can read.
        params : dict, optional
            MLflow's own; there are none.

        Returns
        -------
        pandas.DataFrame
            As `models.scoring.score_loans` tells. Missing values are None, so that they become
            null in JSON, which knows no NaN.
        """
        checked = check_bare_tape(_tape(model_input).lazy(), self._bundle, _TAPE)
        scores = score_loans(self._bundle.model, checked.tape, checked.ledger)
        return _with_none(checked.complete(scores))


def _tape(rows: pd.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([_column(str(name), rows[name]) for name in rows.columns])


def _column(name: str, values: "pd.Series[Any]") -> pl.Series:
    try:
        return pl.Series(name, pl.from_pandas(values))
    except (TypeError, ValueError):
        # Numbers and text in one column: the check reads each value and tells the bad ones.
        texts = [
            None if missing else str(v) for v, missing in zip(values, values.isna(), strict=True)
        ]
        return pl.Series(name, texts, dtype=pl.String)


def _with_none(scores: pl.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            column.name: pd.Series(column.to_list(), dtype=object if column.has_nulls() else None)
            for column in scores
        }
    )


set_model(ServedBundle())
