"""Reads HTML and SVG for the tests of what is shown."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
_VOID = {"br", "img", "hr"}


class PageReader(HTMLParser):
    """Reads a page, checks that tags nest and that ids are unique, and collects what tests ask about."""

    def __init__(self, source):
        super().__init__()
        self.open, self.starts, self.ids, self.words = [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        assert len(self.ids) == len(set(self.ids)), "an id is there twice"
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', source)) <= set(self.ids), "a reference leads nowhere"

    def handle_starttag(self, tag, attributes):
        self.starts.append((tag, dict(attributes), tuple(self.open)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.starts.append((tag, dict(attributes), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        """(attributes, tags around it) of every such tag."""
        return [(attributes, inside) for name, attributes, inside in self.starts if name == tag]

    def text(self):
        """All text, a blank between elements."""
        return " ".join(self.words)


def svg_of(source):
    """The first SVG of a page as an element tree."""
    return ElementTree.fromstring(re.search(r"<svg.*?</svg>", source, re.DOTALL)[0])


def visible(picture):
    """What is written in an SVG."""
    return ["".join(element.itertext()) for element in picture.iter(f"{SVG}text")]


def check_svg(source):
    """What holds for every picture: named, scalable, theme-following, readable, all of it inside the drawing."""
    PageReader(source)
    picture = svg_of(source)
    names = [element.get("id") for element in picture if element.tag in (f"{SVG}title", f"{SVG}desc")]
    assert picture.get("role") == "img" and picture.get("aria-labelledby").split() == names
    assert picture.find(f"{SVG}title").text and "width:100%" in picture.get("style")
    assert not any(picture.iter(f"{SVG}style")) and not any(picture.iter(f"{SVG}script"))
    _, _, wide, high = map(float, picture.get("viewBox").split())
    for text in picture.iter(f"{SVG}text"):
        assert float(text.get("font-size")) >= 12 and text.get("fill") == "currentColor"
        assert 0 < float(text.get("y")) < high and 0 <= float(text.get("x")) < wide, "".join(text.itertext())
    for rect in picture.iter(f"{SVG}rect"):
        x, y, width, height = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        assert x >= -0.1 and x + width <= wide + 0.1 and y >= -0.1 and y + height <= high + 0.1
    return picture
