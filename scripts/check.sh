#!/usr/bin/env bash
# Format, lint, types and arrows; the tests are `pytest`.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff format --check .
ruff check .
mypy
lint-imports
