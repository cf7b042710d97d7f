# Everything that CI checks besides the tests: `make check`. The fast part of it before a commit: `make quick`.
PYTHON ?= python

.PHONY: check quick test

check: quick
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest tests/test_star.py

quick:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

test:
	$(PYTHON) -m pytest
