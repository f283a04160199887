"""Open a page of codeact in headless Chromium and say what is wrong with it: errors, requests, controls, accessibility.

    pip install -e '.[dev]'
    python scripts/look_at_page.py runs/demo/report.html --pictures shots

Ends with status 1 where there is a console error, a request, a page that is wider than its window, a heading out of order, or a serious finding
of axe-core (the one of the package axe-playwright-python, or --axe FILE of the npm package).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
SIZES = {"1280": (1280, 900), "400": (400, 800)}
# Without what passes: to say where a rule holds takes axe-core longer than to find where it does not.
FINDINGS = """axe.run(document, {resultTypes: ['violations']})
    .then(r => r.violations.map(v => [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 160)]))"""
RULED = {"1280 light", "400 dark"}  # axe-core is slow: each size and each scheme once


def packaged_axe() -> Path | None:
    """axe-core as the package axe-playwright-python has it, where that is installed."""
    spec = find_spec("axe_playwright_python")
    return Path(spec.origin).with_name("axe.min.js") if spec is not None and spec.origin else None


def look(page_file: Path, axe: Path | None = None, pictures: Path | None = None) -> dict[str, Any]:
    """What Chromium says of the page, at 1280 and 400 pixels, light and dark, folded; and by axe-core, unfolded, in two of these four.

    Returns:
        `errors` of the console, `requests` beside the page itself, `wide` (sizes at which it must be scrolled sideways), `serious` and
        `lesser` findings of axe-core, `disordered` headings, `load_seconds`, `bytes`, and `controls`, see `_controls`.
    """
    axe = axe or packaged_axe()
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {"bytes": page_file.stat().st_size, "errors": [], "requests": [], "wide": [], "serious": []}
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium") or None)
        for scheme in ("light", "dark"):
            for name, (width, height) in SIZES.items():
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=False)  # type: ignore[arg-type]
                page = context.new_page()
                page.on("console", lambda said: found["errors"].append(said.text) if said.type in ("error", "warning") else None)
                page.on("pageerror", lambda error: found["errors"].append(str(error)))
                page.on("request", lambda asked: found["requests"].append(asked.url[:80]) if not asked.url.startswith(("file:", "data:")) else None)
                started = time.monotonic()
                page.goto(page_file.resolve().as_uri())
                found["load_seconds"] = max(found.get("load_seconds", 0.0), round(time.monotonic() - started, 2))
                if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                    found["wide"].append(f"{name} {scheme}")
                if pictures is not None:
                    pictures.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=pictures / f"{name}-{scheme}.png", full_page=True)
                if axe is not None and f"{name} {scheme}" in RULED:
                    page.evaluate(UNFOLD)
                    if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                        found["wide"].append(f"{name} {scheme}, unfolded")
                    page.evaluate(axe.read_text(encoding="utf-8") + "; 0")
                    told = page.evaluate(FINDINGS)
                    found["serious"] += [f"{name} {scheme}: {one}" for one in told if one[0] in ("serious", "critical")]
                    found.setdefault("lesser", []).extend(f"{name} {scheme}: {one}" for one in told if one[0] not in ("serious", "critical"))
                context.close()
        found |= _controls(browser, page_file)
        levels = found["controls"]["headings"]
        found["disordered"] = [f"h{after} after h{before}" for before, after in pairwise(levels) if after > before + 1]
        browser.close()
    return found


def _controls(browser: Any, page_file: Path) -> dict[str, Any]:
    """Use what the page has: filters, the cut, more, the map by keyboard."""
    page = browser.new_page()
    page.goto(page_file.resolve().as_uri())
    used: dict[str, Any] = {"headings": page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")}
    if page.locator("#pick-text").count():
        used["all"] = page.inner_text("#count")
        page.fill("#pick-text", "no record holds these words")
        used["found"] = page.inner_text("#count")
        page.fill("#pick-text", "")
        page.select_option("#pick-status", "kept")
        used["kept"] = page.inner_text("#count")
        used["kept_only"] = page.locator(".record.dropped").count() == 0
        page.select_option("#pick-status", "")
        page.check("#pick-cut")
        used["columns"] = page.locator("#found > div").count()
        page.uncheck("#pick-cut")
    if page.locator(".tag[data-cluster]").count():
        page.locator(".tag[data-cluster]").first.focus()
        used["cluster_read"] = page.inner_text("#reading")
        page.keyboard.press("ArrowRight")
        used["record_read"] = page.inner_text("#reading")
        page.keyboard.press("Enter")
        used["cluster_listed"] = page.input_value("#pick-cluster") if page.locator("#pick-cluster").count() else None
    folded = page.locator("details")
    used["opened"] = folded.count()
    page.evaluate(UNFOLD)
    page.set_viewport_size({"width": SIZES["400"][0], "height": SIZES["400"][1]})
    used["wide_when_opened"] = page.evaluate("document.documentElement.scrollWidth > innerWidth + 1")
    page.emulate_media(media="print", color_scheme="dark")
    used["paper"] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    used["printed"] = len(page.pdf())
    page.close()
    return {"controls": used}


def main() -> int:
    """Print what `look` finds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("page", type=Path)
    parser.add_argument("--axe", type=Path, help="axe.min.js of another axe-core")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    asked = parser.parse_args()
    found = look(asked.page, asked.axe, asked.pictures)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return int(any(found[key] for key in ("errors", "requests", "wide", "serious", "disordered")))


if __name__ == "__main__":
    sys.exit(main())
