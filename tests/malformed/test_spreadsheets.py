"""Every malformed spreadsheet is refused with its message or gives faults by the sheet's row."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from features.check import check_tape
from features.errors import SourceError
from features.faults import Faults
from features.sources.spreadsheet import read

HERE = Path(__file__).parent
CASES = tomllib.loads((HERE / "spreadsheets.toml").read_text(encoding="utf-8"))["case"]


def stored(case: dict[str, Any], folder: Path) -> tuple[Path, Path | None]:
    path = folder / "sheet.csv"
    path.write_text(case["text"], encoding="utf-8")
    if "mapping" not in case:
        return path, None
    (folder / "mapping.toml").write_text(case["mapping"], encoding="utf-8")
    return path, folder / "mapping.toml"


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in CASES if "error" in case]
)
def test_refused_spreadsheet(tmp_path: Path, case: dict[str, Any]) -> None:
    path, mapping = stored(case, tmp_path)
    with pytest.raises(SourceError) as refused:
        read(path, mapping)
    for fragment in case["error"]:
        assert fragment in str(refused.value)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in CASES if "messages" in case]
)
def test_spreadsheet_with_bad_cells(tmp_path: Path, case: dict[str, Any]) -> None:
    path, mapping = stored(case, tmp_path)
    result = read(path, mapping)
    assert Faults.of_source(result.faults).messages() == case["messages"]
    checked = check_tape(result.tape.lazy(), result.meta, path.name, row_numbers=result.row_numbers)
    assert checked.faults.messages() == case["check"]
    assert checked.tape.collect()["loan_id"].to_list() == case["kept"]


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        pytest.param(b"", "the file is empty; export the tape again", id="no bytes"),
        pytest.param(b"\x00\x01\x02\x03", "binary content, not text", id="binary"),
        pytest.param(b"PK\x03\x04 and then nothing", "not a readable workbook", id="broken"),
    ],
)
def test_unreadable_file(tmp_path: Path, content: bytes, fragment: str) -> None:
    path = tmp_path / ("sheet.xlsx" if content.startswith(b"PK") else "sheet.csv")
    path.write_bytes(content)
    with pytest.raises(SourceError, match=fragment):
        read(path)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read(tmp_path / "nowhere.csv")


def test_absent_sheet(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "book.xlsx") as book:
        book.add_worksheet("明细")
    with pytest.raises(SourceError, match="no sheet 'Sheet1'; the workbook has 明细"):
        read(tmp_path / "book.xlsx", sheet="Sheet1")


def test_absent_mapping_file(tmp_path: Path) -> None:
    path, _ = stored(CASES[0], tmp_path)
    with pytest.raises(SourceError, match=r"nowhere\.toml: cannot be read"):
        read(path, tmp_path / "nowhere.toml")
