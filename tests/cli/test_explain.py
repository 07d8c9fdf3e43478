"""Pictures read back as XML: they say the loan's own figures, the same bytes every time."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cli import explanation_pictures
from cli.explanation_pictures import chinese_font, draw_beeswarm, draw_dependence, draw_waterfall
from tests.cli.conftest import Npl
from tests.models.conftest import definition

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def explained(
    trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Path]:
    """The portfolio, the bundle, and a tape of 60 of its loans with one that cannot be scored."""
    portfolio, bundle = trained
    tape = pl.read_parquet(portfolio / "tape.parquet").head(60)
    broken = pl.int_range(pl.len()) == 5
    tape = tape.with_columns(principal_outstanding=pl.when(~broken).then("principal_outstanding"))
    path = tmp_path_factory.mktemp("explained") / "tape.parquet"
    tape.write_parquet(path)
    return portfolio, bundle, path


def test_a_package_and_a_loan(explained: tuple[Path, Path, Path], npl: Npl, tmp_path: Path) -> None:
    _, bundle, tape = explained
    name = pl.read_parquet(tape)["loan_id"][0]
    for out in ("one", "two"):
        ran = npl("explain", tape, "--model", bundle, "--out", tmp_path / out, "--loan", name)
        assert ran.code == 0, ran.err
    told = " ".join(ran.out.split())
    assert f"{name}: The average loan:" in told
    assert "explained by tables" in told
    found = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len([n for n in found if n.startswith("dependence_")]) == 4
    assert {"beeswarm.svg", "reasons.csv", f"loan_01_{name}.svg"} <= set(found)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag == f"{SVG}svg"
            assert not re.search(r"<dc:date>|href=\"http", path.read_text())
    reasons = pl.read_csv(tmp_path / "one" / "reasons.csv")
    assert reasons.height == 60
    assert reasons["why_zh"].null_count() == 1
    assert (reasons["reason"].is_not_null() == reasons["why_en"].is_null()).all()


def test_loans_that_cannot_be_drawn_are_refused(
    explained: tuple[Path, Path, Path], npl: Npl, tmp_path: Path
) -> None:
    _, bundle, tape = explained
    out = tmp_path / "out"
    ran = npl("explain", tape, "--model", bundle, "--out", out, "--loan", "nobody")
    assert (ran.code, "no such loan_id" in ran.err) == (3, True)
    broken = pl.read_parquet(tape)["loan_id"][5]
    ran = npl("explain", tape, "--model", bundle, "--out", out, "--loan", broken)
    assert (ran.code, "has no forecast" in ran.err) == (3, True)
    assert not out.exists()
    out.mkdir()
    (out / "letter.txt").write_text("mine")
    ran = npl("explain", tape, "--model", bundle, "--out", out)
    assert (ran.code, "is no explanation" in ran.err) == (3, True)


def test_without_a_chinese_font_labels_are_english_and_it_is_said(
    explained: tuple[Path, Path, Path], npl: Npl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bundle, tape = explained
    npl("explain", tape, "--model", bundle, "--out", tmp_path / "english")
    monkeypatch.setattr(explanation_pictures, "chinese_font", lambda: None)
    ran = npl("explain", tape, "--model", bundle, "--out", tmp_path / "out", "--lang", "zh")
    assert ran.code == 0
    assert "labelled in English" in " ".join(ran.err.split())
    swarm = (tmp_path / "out" / "beeswarm.svg").read_bytes()
    assert swarm == (tmp_path / "english" / "beeswarm.svg").read_bytes()


def comments(path: Path) -> set[str]:
    """Texts of a picture: matplotlib writes each beside its outlines."""
    return {text.strip() for text in re.findall(r"<!--(.*?)-->", path.read_text(), re.DOTALL)}


def test_a_waterfall_says_where_it_starts_and_ends(tmp_path: Path) -> None:
    points = np.array([0.1, -0.05, *[0.001] * 12])
    names = ["House: $5 = a lot", "Months: 34", *(f"other {n}" for n in range(12))]
    draw_waterfall(tmp_path / "loan.svg", 0.3, points, names)
    said = comments(tmp_path / "loan.svg")
    assert {"House: $5 = a lot", "Months: 34", "+10", "−5"} <= said
    assert {"expected recovery 36.2%", "average loan 30.0%", "3 other factors"} <= said
    assert "points of recovery rate" in said


def test_pictures_leave_the_random_numbers_of_others_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 2))
    values = np.empty((40, 2), dtype=object)
    values[:, 0], values[:, 1] = rng.normal(size=40), "text"
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    draw_beeswarm(tmp_path / "swarm.svg", points, values, ["number", "text"])
    assert np.random.random() == expected


def test_a_rank_is_drawn_over_the_names_of_its_levels(tmp_path: Path) -> None:
    rank = definition("five_category", "ordered", ("normal", "loss"))
    draw_dependence(tmp_path / "d.svg", np.ones(40), np.arange(40) % 2 * np.ones(40), rank)
    assert {"normal", "loss"} <= comments(tmp_path / "d.svg")


def test_chinese_is_drawn_where_a_font_has_it(tmp_path: Path) -> None:
    if chinese_font() is None:
        pytest.skip("no font with Chinese is installed")
    draw_waterfall(
        tmp_path / "loan.svg", 0.3, np.array([0.1, -0.2]), ["账龄34个月", "可联：是"], "zh"
    )
    assert {"账龄34个月", "预期回收率 20.0%"} <= comments(tmp_path / "loan.svg")
