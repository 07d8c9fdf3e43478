"""SVG elements: escaped by the standard library, with words for those who cannot see them."""

from typing import Final
from xml.etree import ElementTree as Xml

WIDTH: Final = 912.0
_WIDE: Final = "\u2e80"


def canvas(
    name: str, height: float, title: str, description: str, width: float = WIDTH
) -> Xml.Element:
    """Return a drawing with its title and its description.

    Parameters
    ----------
    name : str
        Letters, digits and hyphens; unique on the page.
    height, width : float
        Of the drawing, in its own units.
    title, description : str
        What it shows, and its figures in a sentence.
    """
    root = Xml.Element(
        "svg",
        {
            "class": "chart",
            "viewBox": f"0 0 {place(width)} {place(height)}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-desc",
        },
    )
    Xml.SubElement(root, "title", {"id": f"{name}-title"}).text = _clean(title)
    Xml.SubElement(root, "desc", {"id": f"{name}-desc"}).text = _clean(description)
    return root


def line(parent: Xml.Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> Xml.Element:
    """Add a straight line of a class."""
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return Xml.SubElement(
        parent, "line", {"class": kind, **{name: place(at) for name, at in ends.items()}}
    )


def text(
    parent: Xml.Element, kind: str, x: float, y: float, words: str, anchor: str = "start"
) -> Xml.Element:
    """Add a line of text of a class; `anchor` is start, middle or end."""
    element = Xml.SubElement(
        parent,
        "text",
        {"class": kind, "x": place(x), "y": place(y), "text-anchor": anchor},
    )
    element.text = _clean(words)
    return element


def path(parent: Xml.Element, kind: str, points: list[tuple[float, float]]) -> Xml.Element:
    """Add a line through points, of a class."""
    steps = " L".join(f"{place(x)} {place(y)}" for x, y in points)
    return Xml.SubElement(parent, "path", {"class": kind, "d": f"M{steps}"})


def marker(
    parent: Xml.Element, shape: str, kind: str, x: float, y: float, size: float = 5.0
) -> None:
    """Add a circle, square, triangle or diamond of a class, told apart without colour."""
    if shape == "circle":
        at = {"cx": place(x), "cy": place(y), "r": place(size)}
        Xml.SubElement(parent, "circle", {"class": kind, **at})
        return
    corners = _CORNERS[shape]
    points = " ".join(f"{place(x + size * a)},{place(y + size * b)}" for a, b in corners)
    Xml.SubElement(parent, "polygon", {"class": kind, "points": points})


_CORNERS: Final = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0.0, -1.15), (1.1, 0.9), (-1.1, 0.9)),
    "diamond": ((0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)),
}


def written(root: Xml.Element) -> str:
    """Return the drawing as text that stands in HTML and parses as XML."""
    return Xml.tostring(root, encoding="unicode")


def place(value: float) -> str:
    """Coordinate to a tenth, without a trailing zero."""
    return f"{value:.1f}".removesuffix(".0")


def text_width(words: str, size: float = 12.0) -> float:
    """Width of a text, about: a Chinese character is square, a Latin one a little over half."""
    return sum(size if letter >= _WIDE else size * 0.56 for letter in words)


def shortened(words: str, width: float) -> str:
    """Text cut to a width, with a sign that it is."""
    if text_width(words) <= width:
        return words
    while words and text_width(words + "…") > width:
        words = words[:-1]
    return words + "…"


def _clean(words: str) -> str:
    # XML has no control characters, not even escaped.
    return "".join(letter for letter in words if letter >= " " and letter not in "\ufffe\uffff")
