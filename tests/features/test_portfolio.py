"""Portfolio folders: what is written is read, whole or not at all, and every fault is named."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tomli_w
from polars.testing import assert_frame_equal

from features.errors import PortfolioError
from features.portfolio import (
    META_FILE,
    ExtraField,
    PortfolioMeta,
    parse_meta,
    read_portfolio,
    write_portfolio,
)
from features.tape import ASSET_CLASSES

GRADE = ExtraField(
    name="grade",
    type="category",
    ordered=True,
    levels=("A", "B"),
    meaning_en="grade",
    meaning_zh="评级",
)
META = PortfolioMeta(
    name="一个资产包",
    source_system="cn_tape",
    currency="CNY",
    observed_until_date=date(2024, 12, 31),
    recovery_basis="claim",
    recovery_timing="monthly",
    max_workout_months=60,
    extra_fields=(GRADE,),
    notes=("first", "第二"),
)
TAPE = pl.DataFrame(
    {
        "grade": ["B", None],
        "asset_class": ["sme", "auto"],
        "loan_id": ["1", "2"],
        "days_past_due": [10, 20],
    }
)
LEDGER = pl.DataFrame(
    {"loan_id": ["1"], "gross_amount": [5], "period": [date(2024, 1, 1)], "route": ["suit"]}
)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("lazy", [False, True])
def test_what_is_written_is_read(tmp_path: Path, lazy: bool) -> None:
    folder = tmp_path / "deep" / "folder"
    write_portfolio(folder, META, TAPE.lazy() if lazy else TAPE, LEDGER.lazy() if lazy else LEDGER)
    found = read_portfolio(folder)
    assert found.meta == META
    assert found.path == folder
    tape = found.tape.collect()
    assert tape.schema == {
        "loan_id": pl.String(),
        "asset_class": pl.Enum(ASSET_CLASSES),
        "days_past_due": pl.Int32(),
        "grade": pl.String(),
    }
    assert_frame_equal(
        tape.cast({"asset_class": pl.String}), TAPE, check_column_order=False, check_dtypes=False
    )
    assert found.ledger.collect().rows() == [("1", date(2024, 1, 1), 5.0, "suit")]
    assert sorted(files(folder)) == ["ledger.parquet", "portfolio.toml", "tape.parquet"]
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_an_older_portfolio_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    write_portfolio(folder, META, TAPE, LEDGER)
    write_portfolio(folder, META.model_copy(update={"name": "new"}), TAPE.head(1), LEDGER)
    found = read_portfolio(folder)
    assert found.meta.name == "new"
    assert found.tape.collect().height == 1
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_an_empty_folder_may_be_written_into(tmp_path: Path) -> None:
    write_portfolio(tmp_path / "p", META, TAPE, LEDGER)
    (tmp_path / "empty").mkdir()
    write_portfolio(tmp_path / "empty", META, TAPE, LEDGER)
    assert files(tmp_path / "empty") == files(tmp_path / "p")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PortfolioError, match="exists and is no portfolio; choose another"):
        write_portfolio(tmp_path, META, TAPE, LEDGER)
    assert files(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_text("years of work")
    with pytest.raises(PortfolioError, match="exists and is no portfolio; choose another"):
        write_portfolio(path, META, TAPE, LEDGER)
    assert path.read_text() == "years of work"


def test_a_crash_while_writing_leaves_the_old_one_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "p"
    write_portfolio(folder, META, TAPE, LEDGER)
    before = files(folder)

    def disk_full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("features.portfolio.write_meta", disk_full)
    with pytest.raises(OSError, match="no space"):
        write_portfolio(folder, META, TAPE.head(1), LEDGER)
    assert files(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_value_of_the_wrong_type_leaves_nothing_behind(tmp_path: Path) -> None:
    tape = TAPE.with_columns(asset_class=pl.lit("yacht"))
    with pytest.raises(pl.exceptions.InvalidOperationError, match="yacht"):
        write_portfolio(tmp_path / "p", META, tape, LEDGER)
    assert list(tmp_path.iterdir()) == []


# Faults of the description

DOCUMENT = META.model_dump(mode="python", exclude_none=True)


def test_every_fault_of_the_description_is_named_at_once() -> None:
    document = DOCUMENT | {
        "currency": "yuan",
        "recovery_basis": "wish",
        "discount_rate": 5,
        "max_workout_months": 0,
        "colour": "red",
        "observed_until_date": "soon",
        "extra_fields": [{"name": "Grade", "type": "text", "meaning_en": "", "meaning_zh": "评级"}],
    }
    del document["name"]
    with pytest.raises(PortfolioError) as caught:
        parse_meta(document, "x/portfolio.toml")
    message = str(caught.value)
    assert message.startswith("x/portfolio.toml: ")
    named = (
        "currency", "recovery_basis", "discount_rate", "max_workout_months", "colour", "name",
        "observed_until_date", "extra_fields.0.name", "extra_fields.0.type",
        "extra_fields.0.meaning_en",
    )  # fmt: skip
    for fault in named:
        assert f"{fault}: " in message, fault
    assert "(value: 'yuan')" in message
    assert message.count("; ") == len(named) - 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"levels": ["A"]}, "levels in order"),
        ({"type": "number"}, "levels in order"),
        ({"levels": ["A", "A"]}, "repeats a level"),
        ({"name": "asset_class"}, "canonical field"),
    ],
)
def test_extra_fields_that_contradict_themselves(change: dict[str, Any], fault: str) -> None:
    extra = GRADE.model_dump() | change
    with pytest.raises(PortfolioError, match=fault):
        parse_meta(DOCUMENT | {"extra_fields": [extra]}, "portfolio.toml")


def test_extra_fields_of_one_name_are_refused() -> None:
    twice = [GRADE.model_dump()] * 2
    with pytest.raises(PortfolioError, match="repeat a name"):
        parse_meta(DOCUMENT | {"extra_fields": twice}, "portfolio.toml")


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    (tmp_path / META_FILE).write_text(tomli_w.dumps(DOCUMENT), encoding="utf-8")
    with pytest.raises(PortfolioError, match=r"tape\.parquet, ledger\.parquet missing"):
        read_portfolio(tmp_path)
    with pytest.raises(PortfolioError, match="not a folder"):
        read_portfolio(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("portfolio.toml", "name = '资产'".encode("gb18030"), "not UTF-8"),
        ("portfolio.toml", b"name = ", "not valid TOML"),
        ("tape.parquet", b"loan_id,amount\n1,2\n", "not a readable parquet file"),
        ("ledger.parquet", b"", "not a readable parquet file"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    folder = tmp_path / "p"
    write_portfolio(folder, META, TAPE, LEDGER)
    (folder / name).write_bytes(content)
    with pytest.raises(PortfolioError, match=fault) as caught:
        read_portfolio(folder)
    assert str(folder / name) in str(caught.value)
