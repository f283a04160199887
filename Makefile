# Two commands do everything on a fresh machine: `make demo` and `make test`. Paths are relative, so blanks in them are fine.
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

# tests start dozens of processes: each finds the compiled modules of the last, also where the environment says otherwise
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test quick bench lint types wheel site clean

demo: .venv/.demo-ready
	$(PY) -m codeact demo

# a file of tests stays in one process; files with slow tests come first (tests/conftest.py), not those with many;
# one process more than cores, since some tests wait for a limit or for a process of their own
SHARED := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist loadfile --no-loadscope-reorder

test: .venv/.dev-ready
	@sh scripts/sandbox_ready.sh
	$(PY) -m pytest $(SHARED)

# every part once, in under a minute on two cores; QUICK holds a file or two of each
QUICK := tests/golden tests/integration/test_cli.py $(addprefix tests/invariant/test_,sample.py segments.py) \
  $(addprefix tests/unit/test_,$(addsuffix .py,cluster config curate_checks curate_completeness curate_languages decontaminate dedup \
  docs dry_run embed judge_parse layers likelihood pack_balance pack_collate pack_plan paired prompts record_columns \
  record_shapes records report score_ifd score_sequences score_stats sources spikes statistics storage tasks train training_samples))

quick: .venv/.dev-ready
	$(PY) -m pytest -n $(shell getconf _NPROCESSORS_ONLN) --dist loadfile --no-loadscope-reorder -m "not slow" $(QUICK)

# every comparison of speed on this machine, and docs/performance.md of it; hours, and it goes on where it ended
bench: .venv/.dev-ready
	$(PY) -m benchmarks.run

lint: .venv/.dev-ready
	$(PY) -m ruff check .

types: .venv/.dev-ready
	$(PY) -m mypy --strict src
	$(PY) -m mypy --strict --platform darwin --no-warn-unreachable src

wheel: .venv/.dev-ready
	@sh scripts/check_wheel.sh $(PY)

# the documentation as pages in site/; a link that leads nowhere ends it
site: .venv/.docs-ready
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "site/index.html"

.venv/.docs-ready: pyproject.toml constraints.txt | $(PY)
	@echo "installing mkdocs into .venv (once) ..."
	$(PIP) $$($(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	@touch $@

.venv/.demo-ready: pyproject.toml constraints.txt | $(PY)
	@echo "installing codeact[demo] into .venv (once) ..."
	$(PIP) -e '.[demo]'
	@touch $@

.venv/.dev-ready: pyproject.toml constraints.txt | $(PY)
	@echo "installing codeact[dev] into .venv (once) ..."
	$(PIP) -e '.[dev]'
	@touch $@ .venv/.demo-ready

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "codeact needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

clean:
	rm -rf .venv build dist site
