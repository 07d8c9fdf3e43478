"""The store against hand-made deliveries: what it adds, passes over, refuses and can tell again."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import LockedError, PortfolioStoreError
from features.ingest import LOCK_FILE, Ingested, ingest
from features.locking import exclusive
from features.portfolio import ExtraField, PortfolioMeta, read_portfolio, write_portfolio
from features.sources.simulated import simulate
from features.store import PortfolioStore, open_store, read_store
from features.targets import realised_recovery

LOAN: dict[str, Any] = {
    "loan_id": "L1",
    "borrower_id": "B1",
    "package_id": "P",
    "snapshot_date": date(2023, 6, 30),
    "source_system": "cn_tape",
    "borrower_type": "individual",
    "borrower_adcode": "440100",
    "asset_class": "consumer",
    "origination_date": date(2018, 5, 1),
    "original_amount": 2000.0,
    "currency": "CNY",
    "principal_outstanding": 900.0,
    "interest_outstanding": 100.0,
    "guarantee_type": "credit",
    "default_date": date(2022, 6, 10),
    "five_category": "loss",
    "written_off": False,
    "legal_stage": "not_sued",
}
META = PortfolioMeta(
    name="first",
    source_system="cn_tape",
    currency="CNY",
    observed_until_date=date(2024, 3, 31),
    recovery_basis="claim",
    recovery_timing="monthly",
)
APRIL = {"observed_until_date": date(2024, 4, 30)}
Deliver = Callable[..., Ingested]


def cash(
    gross: float, recorded: datetime, loan: str = "L1", cost: float = 0.0, **also: Any
) -> dict[str, Any]:
    return {
        "loan_id": loan,
        "period": date(2023, 9, 1),
        "gross_amount": gross,
        "collateral_amount": None,
        "cost_amount": cost,
        "route": "collection",
        "recorded_at": recorded,
    } | also


@pytest.fixture
def deliver(tmp_path: Path) -> Deliver:
    """Write loans and cash as a portfolio and ingest it into `tmp_path / "store"`."""
    number = 0

    def run(
        loans: list[dict[str, Any]],
        rows: list[dict[str, Any]],
        meta: dict[str, Any] | None = None,
        **options: Any,
    ) -> Ingested:
        nonlocal number
        number += 1
        folder = tmp_path / f"delivery{number}"
        tape = pl.DataFrame([LOAN | loan for loan in loans] or [LOAN])
        ledger = pl.DataFrame(rows or [cash(1.0, SEPTEMBER)])
        write_portfolio(
            folder,
            META.model_copy(update=meta or {}),
            tape.head(len(loans)),
            ledger.head(len(rows)),
        )
        return ingest(read_portfolio(folder), tmp_path / "store", **options)

    return run


SEPTEMBER = datetime(2023, 9, 15, 10)
OCTOBER = datetime(2023, 10, 2, 10)
APRIL_DAY = datetime(2024, 4, 5, 10)


def net(store: PortfolioStore, known_on: date | None = None) -> dict[str, float]:
    """Net cash by loan, by the one function that says what was realised."""
    table = realised_recovery(store.portfolio(), known_on).collect()
    amounts = table["ead_amount"] * table["recovery_rate_06m"]
    return dict(zip(table["loan_id"], amounts.round(2), strict=True))


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LOCK_FILE
    }


def test_nights_of_a_simulated_portfolio_are_all_readable(tmp_path: Path) -> None:
    nights = {number: date(2024 + number, 6, 30) for number in (0, 1)}
    for number, day in nights.items():
        # Past its last cut-off the simulator shows more of the same workouts.
        simulate(tmp_path / f"n{number}", 100, 3, date(2024 + number, 12, 31))
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert ingest(
            read_portfolio(tmp_path / f"n{number}"), tmp_path / "store", known_at=moment
        ).commit
    for number, day in nights.items():
        told = read_portfolio(tmp_path / f"n{number}")
        found = read_store(tmp_path / "store", day)
        assert found.meta == told.meta.model_copy(update={"name": found.meta.name})
        tape = found.tape.collect().select(told.tape.collect_schema().names())
        assert_frame_equal(tape.sort("loan_id"), told.tape.collect().sort("loan_id"))
        key = ["loan_id", "period", "route", "recorded_at"]
        assert_frame_equal(found.ledger.collect().sort(key), told.ledger.collect().sort(key))
    assert found.digest != open_store(tmp_path / "store").at(0).digest


def test_what_is_known_changes_nothing(deliver: Deliver, tmp_path: Path) -> None:
    loans, rows = [{}, {"loan_id": "L2"}], [cash(100, SEPTEMBER), cash(7, SEPTEMBER, "L2")]
    assert deliver(loans, rows).commit
    before = content(tmp_path / "store")
    # The very files, the same rows in another order, part of them, and either kind of delivery.
    again = ingest(read_portfolio(tmp_path / "delivery1"), tmp_path / "store")
    assert (again.commit, again.checked) == (None, None)
    assert deliver(loans[::-1], rows[::-1]).commit is None
    assert deliver([], rows[:1], restates=True).commit is None
    assert content(tmp_path / "store") == before


def test_a_night_without_cash_is_known_to_be_one(deliver: Deliver, tmp_path: Path) -> None:
    deliver([{}], [cash(100, SEPTEMBER)])
    assert deliver([], [], APRIL).commit
    assert open_store(tmp_path / "store").meta.observed_until_date == date(2024, 4, 30)


def test_cash_comes_without_its_tape_and_beside_what_is_known(
    deliver: Deliver, tmp_path: Path
) -> None:
    deliver([{}], [cash(100, SEPTEMBER)])
    found = deliver([], [cash(20, OCTOBER), cash(5, APRIL_DAY, "unknown")], APRIL)
    assert found.counts["new_postings"] == 1
    assert found.counts["late_postings"] == 1
    assert found.counts["ledger_rows_set_aside"] == 1
    assert found.checked is not None
    assert found.checked.faults.counts() == {"unknown_loan": 1}
    assert net(open_store(tmp_path / "store")) == {"L1": 120.0}
    faults = tmp_path / "store" / "commits" / "000001" / "set_aside" / "faults.csv"
    assert "unknown_loan" in faults.read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(("gross", "cost"), [(80.0, 8.0), (130.0, 8.0), (80.0, 0.0), (100.0, 25.0)])
def test_a_correction_counts_from_when_it_was_recorded(
    deliver: Deliver, tmp_path: Path, gross: float, cost: float
) -> None:
    deliver([{}], [cash(100, SEPTEMBER, cost=8.0)])
    found = deliver([], [cash(gross, APRIL_DAY, cost=cost)], APRIL, restates=True)
    assert found.counts["corrected_postings"] == 1
    store = open_store(tmp_path / "store")
    assert net(store) == {"L1": pytest.approx(gross - cost)}
    assert net(store, date(2024, 4, 4)) == {"L1": 92.0}
    assert net(store.at(0)) == {"L1": 92.0}
    ledger = store.portfolio().ledger.collect()
    assert ledger.select(pl.col("gross_amount", "cost_amount").min() >= 0).row(0) == (True, True)
    # Told once more it is known.
    assert deliver([], [cash(gross, APRIL_DAY, cost=cost)], APRIL, restates=True).commit is None


def test_a_restated_month_moves_cash_to_another_route(deliver: Deliver, tmp_path: Path) -> None:
    deliver([{}], [cash(100, SEPTEMBER), cash(50, SEPTEMBER, period=date(2023, 8, 1))])
    deliver([], [cash(100, APRIL_DAY, route="suit")], APRIL, restates=True)
    store = open_store(tmp_path / "store")
    assert net(store) == {"L1": 150.0}
    by_route = (
        store.portfolio()
        .ledger.group_by("route")
        .agg((pl.col("gross_amount") - pl.col("cost_amount")).sum())
        .collect()
    )
    assert dict(by_route.iter_rows()) == {"collection": 50.0, "suit": 100.0}


def test_loans_close_and_are_corrected_as_new_versions(deliver: Deliver, tmp_path: Path) -> None:
    deliver([{}, {"loan_id": "L2"}], [])
    closing = {"disposal_status": "settled", "closed_date": date(2024, 4, 3)}
    found = deliver([{"loan_id": "L2", "dti": 0.4, **closing}], [], APRIL)
    assert (found.counts["restated_loans"], found.counts["new_loans"]) == (1, 0)
    store = open_store(tmp_path / "store")
    for number, expected in ((0, [None, None]), (1, [None, 0.4])):
        tape = store.at(number).portfolio().tape.collect().sort("loan_id")
        assert tape["loan_id"].to_list() == ["L1", "L2"]
        assert tape["dti"].to_list() == expected
    # A field that a delivery does not carry stays as it was.
    assert deliver([{"loan_id": "L2", **closing}], [], APRIL).commit is None
    assert deliver([{"loan_id": "L2", "dti": 0.5}], [], APRIL).counts["restated_loans"] == 1
    tape = open_store(tmp_path / "store").portfolio().tape.collect().sort("loan_id")
    assert tape.select("dti", "closed_date").row(1) == (0.5, date(2024, 4, 3))


@pytest.mark.parametrize(
    ("loan", "rows", "meta", "told"),
    [
        ({"original_amount": 0.2}, [], {}, "loan L1: original_amount: now 0.2, known as 2000.0"),
        ({"borrower_id": "B2"}, [], {}, "loan L1: borrower_id: now B2, known as B1"),
        ({"snapshot_date": date(2023, 6, 29)}, [], {}, "now 2023-06-29, known as 2023-06-30"),
        ({"snapshot_date": date(2023, 7, 31)}, [], {}, "now 2023-07-31, known as 2023-06-30"),
        ({}, [cash(99, SEPTEMBER)], {}, "gross_amount: now 99.0, known as 100.0"),
        ({}, [], {"currency": "USD"}, "currency: 'USD', but the store has 'CNY'"),
        ({}, [], {"recovery_basis": "principal"}, "recovery_basis: 'principal', but the store"),
        ({}, [], {"observed_until_date": date(2024, 2, 29)}, "observed_until_date: 2024-02-29"),
    ],
)
def test_what_contradicts_is_refused(
    deliver: Deliver,
    tmp_path: Path,
    loan: dict[str, Any],
    rows: list[dict[str, Any]],
    meta: dict[str, Any],
    told: str,
) -> None:
    deliver([{}], [cash(100, SEPTEMBER)])
    before = content(tmp_path / "store")
    with pytest.raises(PortfolioStoreError) as refused:
        deliver([LOAN | {"currency": meta.get("currency", "CNY")} | loan], rows, meta)
    assert told in str(refused.value)
    assert content(tmp_path / "store") == before


def test_a_restatement_recorded_no_later_is_refused(deliver: Deliver) -> None:
    deliver([{}], [cash(100, SEPTEMBER)])
    with pytest.raises(PortfolioStoreError, match=r"now 90\.0, known as 100\.0: what was recorded"):
        deliver([], [cash(90, SEPTEMBER)], APRIL, restates=True)


def test_all_contradictions_are_counted(deliver: Deliver) -> None:
    loans = [{"loan_id": f"L{n}"} for n in range(30)]
    deliver(loans, [])
    with pytest.raises(PortfolioStoreError, match="30 contradictions") as refused:
        deliver([loan | {"original_amount": 3000.0} for loan in loans], [])
    assert str(refused.value).endswith("and 10 more")


def test_a_second_ultimate_outcome_is_refused_or_restated(deliver: Deliver, tmp_path: Path) -> None:
    undated: dict[str, Any] = {"period": None}
    meta = {"recovery_timing": "none"}
    deliver([{}], [cash(100, SEPTEMBER, **undated)], meta)
    later = [cash(60, APRIL_DAY, **undated, route="suit")]
    with pytest.raises(PortfolioStoreError, match=r"outcome: now 60\.0, known as 100"):
        deliver([], later, meta | APRIL)
    deliver([], later, meta | APRIL, restates=True)
    found = realised_recovery(open_store(tmp_path / "store").portfolio()).collect()
    assert found["recovery_rate_ultimate"].to_list() == [0.06]


def test_loans_that_lost_cash_are_not_learnt_from_until_told_whole(
    deliver: Deliver, tmp_path: Path
) -> None:
    bad = cash(50, SEPTEMBER, "L2", period=date(2023, 8, 1)) | {"gross_amount": -50.0}
    deliver([{}, {"loan_id": "L2"}], [cash(100, SEPTEMBER), bad])

    def learnable() -> list[str]:
        portfolio = open_store(tmp_path / "store").portfolio(learnable=True)
        return portfolio.tape.collect()["loan_id"].sort().to_list()

    assert learnable() == ["L1"]
    assert open_store(tmp_path / "store").portfolio().tape.collect().height == 2
    deliver([], [cash(50, OCTOBER, "L2", period=date(2023, 8, 1))], APRIL)
    assert learnable() == ["L1"]
    deliver([], [cash(50, APRIL_DAY, "L2", period=date(2023, 8, 1))], APRIL, restates=True)
    assert learnable() == ["L1", "L2"]


def test_a_bad_row_of_a_known_loan_takes_nothing_away(deliver: Deliver, tmp_path: Path) -> None:
    deliver([{}], [])
    found = deliver([{"principal_outstanding": -5.0}], [cash(100, SEPTEMBER)], APRIL)
    assert found.counts["tape_rows_set_aside"] == 1
    assert net(open_store(tmp_path / "store")) == {"L1": 100.0}


def test_an_extra_field_may_come_later_but_not_change(deliver: Deliver, tmp_path: Path) -> None:
    grade = ExtraField(name="grade", type="category", meaning_en="grade", meaning_zh="评级")
    deliver([{}], [])
    deliver([{"loan_id": "L2", "grade": "A"}], [], {"extra_fields": (grade,)})
    tape = open_store(tmp_path / "store").portfolio().tape.collect().sort("loan_id")
    assert tape["grade"].to_list() == [None, "A"]
    # And be told of loans that were known without it.
    later = {"extra_fields": (grade, grade.model_copy(update={"name": "note"}))}
    found = deliver([{"grade": "B", "note": "x"}], [], later)
    assert found.counts["restated_loans"] == 1
    tape = open_store(tmp_path / "store").portfolio().tape.collect().sort("loan_id")
    assert tape.select("grade", "note").rows() == [("B", "x"), ("A", None)]
    other = grade.model_copy(update={"type": "number"})
    with pytest.raises(PortfolioStoreError, match=r"extra_fields\.grade: not as the store has it"):
        deliver([], [], {"extra_fields": (other,)})


def test_past_moments_are_found_by_time(deliver: Deliver, tmp_path: Path) -> None:
    def at(hour: int) -> datetime:
        return datetime(2024, 4, 1, hour, tzinfo=UTC)

    deliver([{}], [], known_at=at(2))
    with pytest.raises(PortfolioStoreError, match="is before the last commit"):
        deliver([{"loan_id": "L2"}], [], known_at=at(1))
    with pytest.raises(PortfolioStoreError, match="is still to come"):
        deliver([{"loan_id": "L2"}], [], known_at=datetime(2999, 1, 1, tzinfo=UTC))
    deliver([{"loan_id": "L2"}], [], known_at=at(3))
    store = open_store(tmp_path / "store")
    assert store.as_of(at(2)).last.number == 0
    assert store.as_of(date(2024, 4, 1)).last.number == 1
    with pytest.raises(PortfolioStoreError, match="nothing was known at"):
        store.as_of(at(1))
    assert store.as_of(at(2)).digest == store.at(0).digest != store.digest


def test_altered_files_are_found(deliver: Deliver, tmp_path: Path) -> None:
    deliver([{}], [cash(100, SEPTEMBER)])
    deliver([{"loan_id": "L2"}], [], APRIL)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "store", copy)
    parquet = copy / "commits" / "000000" / "ledger" / "2023-09.parquet"
    parquet.write_bytes(parquet.read_bytes()[:-9])
    with pytest.raises(PortfolioStoreError, match=r"2023-09\.parquet: altered since"):
        read_store(copy)
    parquet.unlink()
    with pytest.raises(PortfolioStoreError, match=r"2023-09\.parquet: missing"):
        read_store(copy)
    commit = tmp_path / "store" / "commits" / "000000" / "commit.json"
    commit.write_text(commit.read_text().replace('"rows": 1', '"rows": 2', 1))
    with pytest.raises(PortfolioStoreError, match="does not follow the commit before it"):
        open_store(tmp_path / "store")
    commit.write_text("{}")
    with pytest.raises(PortfolioStoreError, match="not a readable commit"):
        open_store(tmp_path / "store")


def test_folders_that_are_no_store_are_refused(deliver: Deliver, tmp_path: Path) -> None:
    with pytest.raises(PortfolioStoreError, match="no portfolio store; make one with"):
        open_store(tmp_path / "store")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.txt").write_text("years of work")
    with pytest.raises(PortfolioStoreError, match="exists and is no portfolio store"):
        deliver([{}], [])
    assert content(tmp_path / "store") == {"thesis.txt": b"years of work"}


def test_one_writer_at_a_time(deliver: Deliver, tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "store" / LOCK_FILE, "npl ingest"),
        pytest.raises(LockedError, match=f"process {os.getpid()} is at work here"),
    ):
        deliver([{}], [])
    assert deliver([{}], []).commit


# Run as a program of its own: the system calls that make a commit durable kill it at the n-th.
_KILLED = """
import os, signal, sys
from pathlib import Path
from features import durable
from features.ingest import ingest
from features.portfolio import read_portfolio
left = int(sys.argv[3])
def dying(call):
    def run(*arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)
    return run
os.fsync = dying(os.fsync)
Path.rename = dying(Path.rename)
ingest(read_portfolio(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.mark.parametrize(("call", "committed"), [(1, False), (9, False), (10, True)])
def test_a_kill_leaves_the_last_commit_and_the_next_run_finishes(
    deliver: Deliver, tmp_path: Path, call: int, committed: bool
) -> None:
    deliver([{}], [cash(100, SEPTEMBER)])
    store = tmp_path / "store"
    before = content(store)
    write_portfolio(
        tmp_path / "next",
        META.model_copy(update=APRIL),
        pl.DataFrame([LOAN | {"loan_id": "L2"}]),
        pl.DataFrame([cash(5, SEPTEMBER, "L2")]),
    )
    # Calls: four files, four folders, the rename, the folder of commits.
    ran = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "next"), str(store), str(call)],
        check=False,
        env=os.environ | {"POLARS_MAX_THREADS": "1"},
    )
    assert ran.returncode == -signal.SIGKILL
    whole = {name: data for name, data in content(store).items() if ".aside-" not in name}
    assert (whole == before) is not committed
    assert open_store(store).last.number == int(committed)
    assert (ingest(read_portfolio(tmp_path / "next"), store).commit is None) is committed
    assert net(open_store(store)) == {"L1": 100.0, "L2": 5.0}
    assert not list(store.rglob(".aside-*"))


def test_a_full_disk_leaves_the_store_as_it_was(
    deliver: Deliver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver([{}], [])
    before = content(tmp_path / "store")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("features.durable.flush", full)
    with pytest.raises(PortfolioStoreError, match=r"left on device\); the store is as"):
        deliver([{"loan_id": "L2"}], [])
    assert content(tmp_path / "store") == before
