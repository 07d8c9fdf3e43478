"""Set-aside rows come back at their place, each with its own reason."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from features.faults import Fault, Faults
from models.unscored import blocks_with_unscored, put_back, with_unscored

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


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 7))
def test_blocks_hold_the_rows_of_the_whole_in_order(good: list[bool], size: int) -> None:
    rows = pl.DataFrame({"row": range(1, len(good) + 1)}, schema={"row": pl.Int64}).with_columns(
        loan_id=pl.format("L{}", "row"), reason=pl.lit(None, dtype=pl.String)
    )
    scores = rows.filter(good).drop("row")
    unscored = rows.filter([not one for one in good]).with_columns(reason=pl.lit("bad"))
    blocks = [scores.slice(n, size) for n in range(0, max(scores.height, 1), size)]
    found = list(blocks_with_unscored(blocks, unscored))
    assert len(found) == len(blocks)
    assert pl.concat(found).equals(put_back(scores, unscored))
    assert pl.concat(found)["loan_id"].to_list() == rows["loan_id"].to_list()
