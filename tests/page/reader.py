"""What a page says: its tables as text, and everything that it could load."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "link", "img", "br", "wbr"}


@dataclass
class Page(HTMLParser):
    """``rows``: first cell -> the other cells of every table row; ``addresses``: of src and href; ``tags``: all."""

    rows: dict[str, list[str]] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    words: str = ""
    unnamed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._cells: list[str] | None = None
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(given[name]) for name in ("src", "href") if name in given]
        if tag == "img" and not given.get("alt"):
            self.unnamed.append("img without alt")
        if tag == "svg" and not given.get("aria-label") and given.get("aria-hidden") != "true":
            self.unnamed.append("svg without a label")
        if tag == "th" and "scope" not in given:
            self.unnamed.append("th without scope")
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "tr":
            self._cells = []
        elif tag in ("th", "td") and self._cells is not None:
            self._cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        assert self._open.pop() == tag, f"</{tag}> closes another element"
        if tag == "tr" and self._cells:
            self.rows[self._cells[0]] = self._cells[1:]
            self._cells = None

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.words += f"{data} "
        if self._cells:
            self._cells[-1] = f"{self._cells[-1]} {data}".strip()


def read_page(file: Path) -> Page:
    page = Page()
    page.feed(file.read_text(encoding="utf-8"))
    assert page._open == [], "elements are left open"
    return page


def check_self_contained(file: Path) -> None:
    """Nothing is loaded from anywhere, no script runs, and everything that is to be seen has words."""
    text, page = file.read_text(encoding="utf-8"), read_page(file)
    assert [address for address in page.addresses if not address.startswith(("data:", "#"))] == []
    assert {"script", "iframe", "object", "embed", "base"}.isdisjoint(page.tags)
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text
    assert page.unnamed == []
