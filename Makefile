# Everything on a fresh machine: `make demo` and `make test` set themselves up.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_STAMP := .venv/.installed-without-tests

.PHONY: setup demo docs notebooks package person-parser motion-model test test-slow audit chaos fuzz mutants \
	cluster-test bench lint clean

setup: $(STAMP)

# A stamp newer than what it was made from means that nothing is to be installed.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

# Without the tools of tests, unless they are there already.
$(DEMO_STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -e $(STAMP) || $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

demo: $(DEMO_STAMP)
	$(BIN)/posegen demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A process a core, one of which begins with all tests on Ray; the others are shared out by file. For breakpoints:
# `.venv/bin/pytest FILE`.
test: $(STAMP)
	$(BIN)/pytest -m 'not slow' -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 2

test-slow: $(STAMP)
	$(BIN)/pytest -o faulthandler_timeout=0 -m slow

# Looks the pinned versions up in an advisory database (OSV), where it answers.
audit: $(STAMP)
	.ci/audit

# The documentation as a site: docs/_build/html/index.html
docs: $(STAMP)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

# Executes the notebooks of the documentation and stores them with their outputs: minutes.
notebooks: $(STAMP)
	$(BIN)/python -m tests.support.notebooks

# Wheel and sdist as they are published, tried in an empty environment outside the checkout: 3 minutes.
package: $(STAMP)
	rm -rf build dist
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[publish]"
	$(BIN)/python -m build --no-isolation . >/dev/null
	$(BIN)/twine check --strict dist/*
	rm -rf build/empty && $(PYTHON) -m venv build/empty
	build/empty/bin/pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build && empty/bin/posegen motion synth motions --subjects 2 && empty/bin/posegen motion inspect motions
	cd build && empty/bin/posegen studio videos --people 1 --actions 1 --frames 4 --size 96x64
	cd build && empty/bin/python -c "import posegen as pg; print(pg.__version__, pg.MotionDataset('motions').split('train')[0].action)"

# Trains the person parser again as it is shipped, of a folder of Clothing Co-Parsing: make person-parser PHOTOS=ccp
person-parser: $(STAMP)
	$(BIN)/posegen data parsing $(PHOTOS) parsing/labelled
	$(BIN)/posegen train person_parser parsing/labelled --runs parsing/runs --name parser
	$(BIN)/posegen weights pack parsing/runs/parser parsing/person_parser.safetensors
	$(BIN)/posegen report parsing parsing/labelled --run parsing/runs/parser --out parsing/pages

# Trains the motion model again as it is shipped, of procedural motions. Ten minutes on one core.
motion-model: $(STAMP)
	$(BIN)/posegen motion synth motion/takes --subjects 30 --takes 6 --seconds 3 4
	$(BIN)/posegen motion convert motion/takes motion/corpus --rate 12.5
	$(BIN)/posegen train motion_diffusion motion/corpus --preset compact --workers 0 --runs motion/runs --name motion
	$(BIN)/posegen weights pack motion/runs/motion motion/motion.safetensors

# Kills training and preparation twenty times each and prints what became of them.
chaos: $(STAMP)
	POSEGEN_KILLS=20 $(BIN)/pytest -o faulthandler_timeout=0 --timeout 3600 tests/orchestration/training/test_chaos.py

# `ray up` for real: the file for machines of one's own, on machines made of namespaces, one of which dies in the middle of
# a training. Then Slurm for real, with a job that is stopped and queued again. Prints what happens. Needs Linux, root, sshd,
# rsync and slurmctld.
cluster-test: $(STAMP)
	-test "$$(id -u)" != 0 || which sshd ssh rsync ip git slurmctld >/dev/null || (apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends git iproute2 munge openssh-client openssh-server rsync slurm-wlm)
	$(BIN)/pytest -o faulthandler_timeout=0 tests/orchestration/cluster/test_ray_up.py tests/orchestration/cluster/test_slurm.py

# Reads two thousand spoiled files of each kind, others each time.
fuzz: $(STAMP)
	POSEGEN_FUZZ=2000 $(BIN)/pytest -o faulthandler_timeout=0 --timeout 0 tests/security/test_fuzz.py

# Tries thirty small mistakes, and prints those that no test notices. Some ten minutes on two cores.
mutants: $(STAMP)
	$(BIN)/python tests/mutants.py

bench: $(STAMP)
	for name in $(basename $(notdir $(wildcard tests/benchmarks/bench_*.py))); do \
		echo "== $$name"; $(BIN)/python -m tests.benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv posegen-demo mlflow.db mlartifacts .mypy_cache .pytest_cache .ruff_cache
