import gzip
from pathlib import Path

import polars as pl
import pytest

from features.errors import SourceError
from features.sources.raw import ROW, collect, detect_encoding, header_key, open_raw

TABLE = "id,name,amount\n1,José,10\n2,Ana,20\n"


def write(folder: Path, content: bytes, name: str = "raw.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def rows(path: Path, *names: str) -> list[tuple[object, ...]]:
    return collect(open_raw(path, names).select(names), path).rows()


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TABLE.encode(), "utf-8"),
        (TABLE.encode("utf-8-sig"), "utf-8-sig"),
        (TABLE.encode("latin-1"), "cp1252"),
        (TABLE.replace("José", "张三丰").encode("gb18030"), "gb18030"),
        (TABLE.encode("utf-16"), "utf-16"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_every_encoding_gives_the_same_text(
    tmp_path: Path, content: bytes, encoding: str, compressed: bool
) -> None:
    path = write(tmp_path, gzip.compress(content) if compressed else content)
    name = "张三丰" if encoding == "gb18030" else "José"
    assert detect_encoding(path) == encoding
    assert rows(path, "name", "id") == [(1, name, "1"), (2, "Ana", "2")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path, TABLE.replace(",", separator).encode())
    assert rows(path, "amount") == [(1, "10"), (2, "20")]


def test_a_notice_above_the_header_and_ragged_lines_below_are_passed_over(tmp_path: Path) -> None:
    text = 'Notes, offered by (https://x),y\n\n"ID "," Amount"\n1,"a\nb"\n\nTotal: 3,,,,\n'
    path = write(tmp_path, text.encode())
    assert rows(path, "id", "amount") == [
        (1, "1", "a\nb"),
        (2, None, None),
        (3, "Total: 3", None),
    ]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "raw.bin"
    pl.DataFrame(
        {"Loan Nr": [7, 8], "kind": pl.Series(["a", "b"], dtype=pl.Categorical)}
    ).write_parquet(path)
    frame = collect(open_raw(path).select(["loan_nr", "kind"]), path)
    assert frame.columns == [ROW, "loan_nr", "kind"]
    assert frame["loan_nr"].to_list() == [7, 8]


def test_all_missing_columns_are_named_with_their_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, b"fundedamount,term\n1,2\n")
    with pytest.raises(
        SourceError,
        match=r"2 necessary columns missing: funded_amnt \(nearest: fundedamount\); zzz\.",
    ):
        open_raw(path).select(["funded_amnt", "term", "zzz"])


@pytest.mark.parametrize("header", [b"Term,term ", b"term,term"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, header: bytes) -> None:
    path = write(tmp_path, header + b"\n1,2\n")
    with pytest.raises(SourceError, match="more than one column for term"):
        open_raw(path).select(["term"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n  \n", "holds no text"),
        (b"PK\x03\x04rest", "zip archive or workbook"),
        (b"PAR1 and no more", "not a readable parquet file"),
        (b"a,b\x00\x01\x02\n", "binary content"),
        (b"a,b\n\x81\xff\xff\x8d,1\n", "cannot be decoded as"),
        # A fixed time, so that the workers of a parallel run name the case alike.
        (gzip.compress(TABLE.encode(), mtime=0)[:-9], "broken gzip file"),
    ],
)
def test_unusable_files_say_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        rows(write(tmp_path, content), "a")


def test_an_unclosed_quotation_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, b'a,b\n1,"2\n3,4\n')
    with pytest.raises(SourceError, match=r"unclosed quotation|not a readable CSV"):
        rows(path, "a", "b")


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_raw(tmp_path / "nothing.csv")


def test_header_key_keeps_other_scripts() -> None:
    assert header_key("\ufeff 借据 编号 ") == "借据编号"
