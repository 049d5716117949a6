#!/usr/bin/env bash
# Celery, as a peer of the benchmark, into .tools/celery: only when a scenario asks for it. Exact versions, no system packages.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=bench/peers/celery-requirements.txt
venv=.tools/celery
stamp=$venv/.installed
if cmp -s "$requirements" "$stamp"; then exit 0; fi
command -v python3 >/dev/null || { echo 'orderlane: the Celery peers need Python 3.10 or later, with venv' >&2; exit 1; }
echo "orderlane: installing Celery into $venv" >&2
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements"
cp "$requirements" "$stamp"
