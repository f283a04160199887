"""Open the pages of the documentation's site in headless Chromium and say what axe-core finds serious in them.

    pip install -e '.[dev,docs]'
    make site
    python scripts/look_at_site.py site                       # every page: a quarter of an hour on two cores
    python scripts/look_at_site.py site index.html faq.html   # some

Each page is opened at 1280 pixels in the light, and at 400 in the dark. Ends with status 1 where there is a serious finding, an error, a
request to elsewhere, or a page that is wider than its window.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    from scripts.look_at_page import FINDINGS, packaged_axe
except ModuleNotFoundError:  # started as a file
    from look_at_page import FINDINGS, packaged_axe

VIEWS = (("light", 1280), ("dark", 400))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are not of interest."""


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # a page asks for all that it holds at once


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of the folder while it is served on this machine; the search of the theme works by a server only."""
    with _Server(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def look_at_site(site: Path, names: list[str]) -> list[str]:
    """One line for each thing that is wrong: page, view, what.

    Args:
        names: pages by their place in `site`.
    """
    from playwright.sync_api import sync_playwright

    rules = packaged_axe()
    if rules is None:
        raise SystemExit("axe-core is missing: pip install axe-playwright-python")
    said: list[str] = []
    with served(site) as address, sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium") or None)
        for scheme, width in VIEWS:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            page.on("request", lambda asked: said.append(f"request: {asked.url}") if not asked.url.startswith((address, "data:")) else None)
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            page.set_default_timeout(120_000)
            for name in names:
                page.goto(f"{address}/{name}")
                page.evaluate(rules.read_text(encoding="utf-8") + "; 0")
                found = page.evaluate(FINDINGS)
                view = f"{name}, {scheme}, {width} px"
                said.extend([f"{view}: {one}" for one in found if one[0] in ("serious", "critical")])
                if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                    said.append(f"{view}: wider than the window")
            page.close()
        browser.close()
    return said


def main() -> int:
    """Print what `look_at_site` finds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("site", type=Path)
    parser.add_argument("pages", nargs="*", help="by their place in the site; all where none is named")
    asked = parser.parse_args()
    every = sorted(file.relative_to(asked.site).as_posix() for file in asked.site.rglob("*.html") if "assets" not in file.parts)
    said = look_at_site(asked.site, asked.pages or every)
    print("\n".join(said) or f"{len(asked.pages or every)} pages: nothing serious")
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
