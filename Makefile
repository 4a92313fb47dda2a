# dualroot.migrate: the commands of a developer. `make help` lists them.
WORK := $(CURDIR)/.work
VENV := $(WORK)/venv
OLD_VENV := $(WORK)/venv-2.18
COLLECTIONS := $(WORK)/collections
INSTALLED := $(COLLECTIONS)/ansible_collections/dualroot/migrate
SOURCES = $(shell git ls-files --cached --others --exclude-standard)

# The collection under test is the one built from this tree: never a stale copy in a home folder.
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export ANSIBLE_HOME := $(WORK)/ansible
export PATH := $(VENV)/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
# Molecule looks for scenarios in extensions/ first and warns about a top-level molecule/ otherwise.
export MOLECULE_GLOB := molecule/*/molecule.yml

PYTEST = cd $(INSTALLED) && PYTHONPATH=$(COLLECTIONS):$(INSTALLED) $(VENV)/bin/python -m pytest -p no:cacheprovider

BUNDLE = DUALROOT_TEST_BUNDLE="$$($(VENV)/bin/python -m tests.lab bundle debian13-va | \
	  $(VENV)/bin/python -c 'import json, sys; print(json.load(sys.stdin)["dualroot_bundle"])')"

.PHONY: help demo test check soak bench clean lint types unit unit-2.18 others sanity galaxy vm vm-one vm-two crash \
  molecule images docs

help: ## list these commands
	@grep -hE '^[a-z0-9.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / - /'

demo: $(INSTALLED) ## build a bundle and a single-root VM, and migrate it before your eyes
	$(VENV)/bin/python -m tests.lab.demo

test: check ## every test; about an hour on two cores
	@# Images are built by one process after the other, most of which use one core.
	@$(MAKE) --no-print-directory -j2 --output-sync=target images others
	@# A machine under emulation keeps about one core busy, so two lanes run side by side.
	@$(MAKE) --no-print-directory -j2 --output-sync=target vm-one vm-two
	@$(MAKE) --no-print-directory crash
	@echo "make test: all passed"

check: $(INSTALLED) ## the quick loop: lint, types, unit tests, real tools on plain files
	@# Side by side: the unit tests wait for the disk for a third of their time.
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint types unit

soak: $(INSTALLED) images ## the long matrices; what is done already is kept, so it can be ended and started again
	PYTHONPATH=$(COLLECTIONS):$(CURDIR) $(VENV)/bin/python -m tests.fuzz --inputs 100000
	molecule test -s update
	export DUALROOT_SOAK=1 $(BUNDLE) && $(PYTEST) tests/boot tests/vm tests/crash/test_update_cuts.py tests/crash/test_commit_cuts.py
	PYTHONPATH=$(COLLECTIONS):$(CURDIR) $(VENV)/bin/python -m tests.crash run --seconds $${DUALROOT_SOAK_SECONDS:-28800}
	PYTHONPATH=$(COLLECTIONS):$(CURDIR) $(VENV)/bin/python -m tests.crash.update
	PYTHONPATH=$(COLLECTIONS):$(CURDIR) $(VENV)/bin/python -m tests.crash.commit
	$(VENV)/bin/python tests/bin/write_reliability_page.py

bench: $(INSTALLED) ## downtime, RAM and throughput of a migration, as ratios
	$(VENV)/bin/python -m tests.benchmark
	$(VENV)/bin/python -m tests.benchmark.restart

lint: $(INSTALLED)
	$(VENV)/bin/ruff check plugins tests molecule
	$(VENV)/bin/ruff format --check plugins tests molecule
	$(VENV)/bin/yamllint -s .
	$(VENV)/bin/ansible-lint --offline -q
	git ls-files --cached --others --exclude-standard | xargs awk 'FNR == 1 && /^#!\/bin\/(ba)?sh/ {print FILENAME}' | xargs shellcheck

types: $(INSTALLED)
	cd $(INSTALLED) && MYPYPATH=$(COLLECTIONS) $(VENV)/bin/mypy --config-file pyproject.toml --cache-dir $(WORK)/mypy \
	  -p ansible_collections.dualroot.migrate.plugins.module_utils

# Whole playbooks with scripted hosts take longer than all the rest, so they run with the machines.
PLAYBOOKS = tests/tools/test_restore_playbooks.py tests/tools/test_slot_playbooks.py

# Two workers for each processor: half of the time goes into waiting for a disk or a program. Machines are not
# tested this way, for each of them keeps one busy.
unit: $(INSTALLED)
	$(PYTEST) -n $$((2 * $$(nproc))) tests/unit tests/tools $(addprefix --ignore=,$(PLAYBOOKS))

# The oldest ansible-core that is promised runs the same unit tests.
unit-2.18: $(INSTALLED)
	@tests/bin/bootstrap $(OLD_VENV) tests/requirements-2.18.txt
	cd $(INSTALLED) && PYTHONPATH=$(COLLECTIONS):$(INSTALLED) $(OLD_VENV)/bin/python -m pytest -p no:cacheprovider -n auto tests/unit

others: $(INSTALLED)
	@$(MAKE) --no-print-directory unit-2.18
	@$(MAKE) --no-print-directory sanity
	@$(MAKE) --no-print-directory galaxy

sanity: $(INSTALLED)
	$(VENV)/bin/python tests/bin/sanity $(INSTALLED) $(WORK)

galaxy: $(INSTALLED)
	$(VENV)/bin/python tests/bin/galaxy $(WORK)

# The tests of the built environment want a bundle, which the fast loop has not.
VM_ONE = $(PLAYBOOKS) tests/tools/test_bundle_environment.py tests/boot tests/vm/test_disk_engine.py tests/vm/test_preflight.py \
  tests/vm/test_rehearse.py tests/vm/test_returned.py tests/vm/test_uefi.py \
  tests/vm/test_health.py tests/vm/test_overlay_start.py tests/vm/test_package_upgrades.py
VM_TWO = $(filter-out $(VM_ONE),$(sort $(wildcard tests/vm/test_*.py)))

vm: vm-one vm-two ## whole migrations and boots of real machines, Molecule's scenarios with them

vm-one: $(INSTALLED) images
	export $(BUNDLE) && $(PYTEST) --durations=20 $(VM_ONE)

vm-two: $(INSTALLED) images
	@# One after the other: each keeps a core busy.
	molecule test -s default
	molecule test -s dual
	export $(BUNDLE) && $(PYTEST) --durations=20 $(VM_TWO)

crash: $(INSTALLED) images ## an honest sample of the power cuts of `make soak`
	export $(BUNDLE) && $(PYTEST) --durations=20 tests/crash --ignore=tests/crash/test_update_cuts.py

molecule: molecule-default molecule-dual molecule-update ## whole migrations, and life with two systems

molecule-%: $(INSTALLED)
	molecule test -s $*

# Built once before the tests that share them; what the cache holds already is left alone.
images: $(INSTALLED)
	$(VENV)/bin/python -m tests.lab build debian11
	$(VENV)/bin/python -m tests.lab build debian12-uefi
	$(VENV)/bin/python -m tests.lab bundle debian13-va >/dev/null

docs: $(VENV)/.requirements ## write the generated pages of docs/ again
	$(VENV)/bin/python tests/bin/write_faults_page.py
	$(VENV)/bin/python tests/bin/write_findings_page.py
	$(VENV)/bin/python tests/bin/write_recovery_pages.py
	$(VENV)/bin/python tests/bin/write_reliability_page.py

$(VENV)/.requirements: tests/requirements.txt tests/packages.txt tests/bin/bootstrap
	tests/bin/bootstrap $(VENV) tests/requirements.txt
	@touch $@

# A fresh install each time a source changes: a file that was removed must not survive in it.
$(INSTALLED): $(VENV)/.requirements $(SOURCES)
	@rm -rf $(COLLECTIONS) $(WORK)/dist && mkdir -p $(WORK)/dist
	@$(VENV)/bin/ansible-galaxy collection build --force --output-path $(WORK)/dist . >/dev/null
	@$(VENV)/bin/ansible-galaxy collection install --offline --no-deps --force -p $(COLLECTIONS) $(WORK)/dist/*.tar.gz >/dev/null
	@touch $@

clean: ## remove what these commands made in this tree (built images stay in the cache folder)
	rm -rf $(WORK) .ansible dualroot-report tests/output
