"""A page in a real browser, on a phone and on a screen, in light and in dark."""

from pathlib import Path

import pytest

from tests.page.browser import PROGRAM, open_tab

needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed (apt install chromium)")


def check_looks(pages: list[Path], tmp_path: Path) -> None:
    """No complaint on the console, nothing asked of the network, no sideways scroll, another ground in the dark."""
    with open_tab(tmp_path / "profile") as tab:
        for page in pages:
            grounds = set()
            for width in (400, 1400):
                for scheme in ("light", "dark"):
                    tab.show(page, width, scheme)
                    assert tab.complaints == []
                    assert [url for url in tab.loads if not url.startswith("data:")] == [page.resolve().as_uri()]
                    wide = "[...document.querySelectorAll('section')].map(s => s.getBoundingClientRect().right)"
                    assert max(tab.value(wide)) <= width
                    assert tab.value("document.documentElement.scrollWidth <= innerWidth"), (page, width)
                    assert tab.value("innerWidth") == width
                    assert tab.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
                    grounds.add(tab.value("getComputedStyle(document.body).backgroundColor"))
            assert len(grounds) == 2
