"""Set-aside rows come back at their place, each with its own reason."""

import polars as pl

from features.faults import Fault, Faults
from models.unscored import with_unscored

SCORES = pl.DataFrame({"loan_id": ["a", "d"], "recovery_rate": [0.1, 0.4], "reason": [None, None]})
SCORES = SCORES.cast({"reason": pl.String})


def fault(row: int, field: str, mend: str) -> Fault:
    return Fault("tape.csv", row, field, "x", "rule", mend)


def test_each_row_has_its_own_reason_whatever_the_numbering() -> None:
    set_aside = pl.DataFrame({"row": [2, 3], "loan_id": ["b", "c"], "rules": ["r1", "r2"]})
    # A sheet with two title lines and a header: table rows 1 to 4 are sheet rows 4 to 7.
    numbers = pl.Series([4, 5, 6, 7])
    faults = Faults.of([fault(5, "default_date", "own of b"), fault(6, "ead", "own of c")])
    found = with_unscored(SCORES, set_aside, faults, "tape.csv", numbers)
    assert found["loan_id"].to_list() == ["a", "b", "c", "d"]
    assert found["reason"].to_list() == [None, "default_date: own of b", "ead: own of c", None]
    assert found["recovery_rate"].to_list() == [0.1, None, None, 0.4]


def test_a_row_whose_faults_are_not_listed_names_its_rules() -> None:
    set_aside = pl.DataFrame({"row": [1], "loan_id": ["z"], "rules": ["duplicate_loan: loan_id"]})
    found = with_unscored(SCORES, set_aside, Faults.none(), "tape.csv")
    assert found["reason"].to_list() == ["duplicate_loan: loan_id", None, None]


def test_nothing_set_aside_changes_nothing() -> None:
    nothing = pl.DataFrame(schema={"row": pl.Int64, "loan_id": pl.String, "rules": pl.String})
    assert with_unscored(SCORES, nothing, Faults.none(), "tape.csv").equals(SCORES)
