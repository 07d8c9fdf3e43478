"""The page parses, loads nothing, escapes what it is given, and can be read without eyes."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.html_page import Page
from training.report.contents import sections
from training.report.page import render_page
from training.report.schema import Report
from training.report.summary import words_of
from training.report.words import Language

LANGUAGES: tuple[Language, ...] = ("zh", "en")


@pytest.fixture(scope="module")
def pages(report: Report) -> dict[Language, str]:
    return {language: render_page(report, language) for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_well_formed_and_loads_nothing(
    pages: dict[Language, str], language: Language
) -> None:
    page = Page(pages[language])
    assert page.unbalanced == []
    assert page.open == []
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(page.tags)
    assert not re.search(r"https?:|@import|url\(", pages[language])
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "src"]
    links = [value for _, name, value in page.attributes if name == "href"]
    targets = [value for _, name, value in page.attributes if name == "id"]
    assert all(link is not None and link.removeprefix("#") in targets for link in links)
    assert len(targets) == len(set(targets))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_section_is_there_in_order_and_in_its_language(
    pages: dict[Language, str], report: Report, language: Language
) -> None:
    headings = re.findall(r'<h2><span class="number">(\d+)</span>([^<]+)</h2>', pages[language])
    told = sections(report, words_of(report, language))
    assert [title for _, title in headings] == [section.title for section in told]
    assert [int(number) for number, _ in headings] == list(range(1, 19))
    chinese = {bool(re.search("[\u4e00-\u9fff]", title)) for _, title in headings}
    assert chinese == {language == "zh"}


def test_an_english_page_has_no_chinese(pages: dict[Language, str]) -> None:
    assert re.findall("[\u4e00-\u9fff]", Page(pages["en"]).words) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_drawing_is_xml_and_says_what_it_shows(
    pages: dict[Language, str], language: Language
) -> None:
    drawings = re.findall(r"<svg.*?</svg>", pages[language], re.DOTALL)
    assert len(drawings) >= 8
    for text in drawings:
        drawing = ElementTree.fromstring(text)
        assert drawing.get("role") == "img"
        named = [drawing.find(name) for name in ("title", "desc")]
        ids = [element.get("id") for element in named if element is not None]
        assert drawing.get("aria-labelledby", "").split() == ids
        assert all(element is not None and element.text for element in named)
        _, _, width, height = map(float, drawing.get("viewBox", "").split())
        for element in drawing.iter():
            for name in ("x", "x1", "x2", "cx"):
                assert -1 <= float(element.get(name, 0)) <= width
            for name in ("y", "y1", "y2", "cy"):
                assert -1 <= float(element.get(name, 0)) <= height


def test_the_page_is_the_same_for_the_same_report(
    pages: dict[Language, str], report: Report
) -> None:
    assert render_page(report, "zh") == pages["zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_lights_and_ten_lines_are_on_the_page(
    pages: dict[Language, str], report: Report, language: Language
) -> None:
    page = Page(pages[language])
    for line in report.summary:
        assert " ".join(getattr(line, language).split()) in page.words
    assert page.words.count("■") >= 1


@settings(max_examples=8, deadline=None)
@given(hostile=st.text(min_size=1, max_size=40))
def test_text_of_the_data_is_shown_as_text(report: Report, hostile: str) -> None:
    text = f"<script>\"&'{{{{7*7}}}}{hostile}"
    about = report.about.model_copy(update={"portfolio": text})
    miss = report.misses.loans[0].model_copy(update={"loan_id": text, "region": text})
    misses = report.misses.model_copy(update={"loans": (miss,)})
    region = next(d for d in report.segments.dimensions if d.dimension == "region")
    level = region.segments[0].model_copy(update={"level": text})
    dimension = region.model_copy(update={"segments": (level,)})
    segments = report.segments.model_copy(update={"dimensions": (dimension,)})
    changed = report.model_copy(update={"about": about, "misses": misses, "segments": segments})
    html = render_page(changed, "en")
    page = Page(html)
    assert "script" not in page.tags
    assert page.unbalanced == []
    assert "49" not in re.findall(r"<script>&quot;.{0,20}", html)
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(drawing)
