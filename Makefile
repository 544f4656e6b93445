# Needs Python >= 3.11 and make; everything else goes into .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: serve test check lint goldens nightly soak questions audit bench reference reference-run \
        reference-bundle estimator clean

serve: $(VENV)/base.stamp  ## Start the service on http://127.0.0.1:8000
	$(BIN)/joulewise serve

test: $(VENV)/dev.stamp  ## Run every test
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: lint test  ## What CI runs for people: lint, types, import contracts, tests

goldens: $(VENV)/dev.stamp  ## Renew the pinned answers in tests/goldens, REASON='why'; prints old -> new by group
	@GOLDENS=renew REASON="$(REASON)" $(BIN)/python -m pytest tests/test_goldens.py -q

nightly: $(VENV)/dev.stamp  ## 10,000 damaged run files of each format, and 500 round trips
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest tests/test_run_file.py --timeout 0 --hypothesis-show-statistics

soak: $(VENV)/dev.stamp  ## Ten minutes of mixed load on a service of its own
	$(BIN)/python benchmarks/soak.py

questions: $(VENV)/dev.stamp  ## 200 drawn questions: the share answered soundly, and every failure
	@$(BIN)/python benchmarks/questions.py

audit: $(VENV)/dev.stamp  ## Known vulnerabilities of the pinned packages; needs api.osv.dev
	@$(BIN)/pip-audit -r constraints.txt --strict --vulnerability-service osv --no-deps --disable-pip \
	    2>$(VENV)/audit.log && exit; \
	if grep -qE "ConnectionError|Timeout|ServiceError" $(VENV)/audit.log; \
	then echo "not audited: the advisory database api.osv.dev cannot be reached"; \
	else cat $(VENV)/audit.log; fi; exit 1

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp  ## Side-by-side tables on this machine
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/bench_estimator.py
	$(BIN)/python benchmarks/bench_fleet.py
	$(BIN)/python benchmarks/bench_catalog.py
	$(BIN)/python benchmarks/bench_classifiers.py

reference: $(VENV)/dev.stamp  ## Rebuild the bundled figures, where their sources are at hand
	$(BIN)/python scripts/data/build_reference.py
	$(BIN)/python scripts/data/machines.py
	$(BIN)/python scripts/data/atlas.py

reference-run: $(VENV)/dev.stamp  ## Measure the suite on five public workloads on this machine; STEP=minilm for one step
	$(BIN)/python scripts/reference_run.py run $(if $(STEP),--step $(STEP))

reference-bundle: $(VENV)/dev.stamp  ## Bundle what reference-run measured, and its table in docs
	$(BIN)/python scripts/reference_run.py bundle
	$(BIN)/python scripts/data/classical_rows.py
	$(BIN)/python scripts/reference_table.py

estimator: $(VENV)/dev.stamp  ## Retrain the bundled estimator and accuracy model on the bundled figures
	$(BIN)/python scripts/estimator/build_estimator.py
	$(BIN)/python scripts/estimator/build_accuracy.py

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/base.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/dev.stamp: $(VENV)/base.stamp
	$(PIP) --editable '.[dev]'
	touch $@
