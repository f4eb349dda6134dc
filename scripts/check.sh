#!/usr/bin/env bash
# Format, lint, types and import layers. The tests are run by `pytest`.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff format --check .
ruff check .
mypy
lint-imports
