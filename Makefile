# Every target is a small program in dev/, run as a module of this folder. PORT, DB, ODOO_PATH and PGHOST are passed on.
PYTHON ?= python3
export PYTHONDONTWRITEBYTECODE = 1
export TAGS LIVE UNIT PORT DB ODOO_PATH
export ROWS WORKERS LOG_ROWS

.PHONY: help run test test-core soak bench lint shell pot catalogue docs pictures screenshot clean

help:
	@echo "make run                    an Odoo 19 with the add-on and demo data, on PORT (8069)"
	@echo "make test                   all tests: unit, Odoo, browser tours, live servers"
	@echo "make test TAGS=/auth_integration:TestX   some Odoo tests, on a kept database"
	@echo "make test LIVE='-k story'   some live-server tests (arguments of pytest)"
	@echo "make test UNIT='-k network' some unit tests (arguments of pytest)"
	@echo "make test-core              all of Odoo's own tests of authentication, with the add-on; make test has most"
	@echo "make soak                   15 minutes of mixed traffic, 100 stops of a server in it, 300 random lives of keys"
	@echo "make bench                  speed beside stock Odoo; ROWS='/json/2' | flood | parallel | size | log | metrics | overview | findings | jobs | rotation | guessing | operations; WORKERS=2"
	@echo "make lint                   ruff, pylint-odoo, XML, CSV, terms, README and guides"
	@echo "make shell                  an Odoo shell on the database of make run"
	@echo "make pot                    write i18n/auth_integration.pot"
	@echo "make catalogue              write docs/causes.rst, the causes of rejected calls"
	@echo "make docs                   build the guides of docs/ in .dev/docs/html"
	@echo "make pictures               take the pictures of the README and the app's page anew"
	@echo "make screenshot ARGS='--login admin --path /odoo --out /tmp/x.png'"
	@echo "make clean                  remove databases, logs and everything else in .dev"

run:
	@$(PYTHON) -m dev.run

test:
	@$(PYTHON) -m dev.run_tests

test-core:
	@$(PYTHON) -m dev.core_tests

soak:
	@STOPS=$${STOPS:-100} SOAK=$${SOAK:-300} SOAK_MINUTES=$${SOAK_MINUTES:-15} \
		LIVE="-k 'test_clean_stop or key_histories or test_soak'" $(PYTHON) -m dev.run_tests

bench:
	@$(PYTHON) -m benchmarks.bench

lint:
	@$(PYTHON) -m dev.lint

shell:
	@$(PYTHON) -m dev.shell

pot:
	@$(PYTHON) -m dev.pot

catalogue:
	@$(PYTHON) -m dev.catalogue

docs:
	@$(PYTHON) -m dev.docs

pictures:
	@$(PYTHON) -m dev.pictures

screenshot:
	@$(PYTHON) -m dev.screenshot $(ARGS)

clean:
	@$(PYTHON) -m dev.clean
