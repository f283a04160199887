"""Check an installed wheel from a folder that is not the checkout: every module imports, every shipped recipe is valid, the demo begins,
and the README in its metadata has no link into the repository's folders.

    python scripts/check_wheel.py FOLDER     FOLDER: where `pip install --target` put the wheel

The heavy dependencies may come from elsewhere; codeact itself and its recipes must come from FOLDER.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import tempfile
from pathlib import Path

OPTIONAL = {"codeact.__main__"}


def main(installed: Path) -> None:
    import codeact
    from codeact import api, config, shipped
    from codeact.comparison.grid import load_comparison

    assert installed in Path(codeact.__file__).resolve().parents, f"codeact comes from {codeact.__file__}"
    assert installed in shipped.folder().resolve().parents, f"recipes come from {shipped.folder()}"
    page = next(installed.glob("codeact-*.dist-info/METADATA")).read_text(encoding="utf-8")
    dead = re.findall(r"\]\((?![a-z]+:|#)[^)\s]+\)", page)
    assert not dead, f"links that lead nowhere on the page of an index: {dead}"
    modules = [found.name for found in pkgutil.walk_packages(codeact.__path__, "codeact.")]
    for name in modules:
        if name not in OPTIONAL:
            importlib.import_module(name)
    names = shipped.names()
    for name in names:
        if name.startswith("compare"):
            load_comparison(Path(name), ["apart_from=[]"])  # those earlier runs are not here
        elif not name.startswith("accelerate/"):
            config.load_recipe(name)
    with tempfile.TemporaryDirectory() as work:
        recipe = config.load_recipe("demo", [f"run_dir={work}/run", "data.limit=40"])
        summary = api.run_stages(recipe, ["curate"], None)
        report = api.report(recipe.run_dir)
        assert report.is_file(), report
    pages = shipped.pages()
    assert {"scoring", "strategies/cdas"} <= pages.keys(), "pages of docs/ are missing"
    print(
        f"wheel: {len(modules)} modules, {len(names)} recipes, {len(pages)} pages, the demo's curate kept {summary['kept']} of 40 records"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
