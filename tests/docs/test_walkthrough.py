"""docs/walkthrough.md says what the code does: it is written again and compared."""

import re
from pathlib import Path

import pytest

from benchmarks.walkthrough import walkthrough

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "walkthrough.md"
NUMBER = re.compile(r"[-+]?\d+\.\d+")


def test_the_walkthrough_is_what_the_code_does() -> None:
    written, again = DOCUMENT.read_text(encoding="utf-8"), walkthrough()
    # Text to the letter; figures to four digits, for the last bits of other processors.
    assert NUMBER.sub("#", written) == NUMBER.sub("#", again)
    before, after = ([float(n) for n in NUMBER.findall(text)] for text in (written, again))
    assert after == pytest.approx(before, rel=1e-4, abs=1e-4)
