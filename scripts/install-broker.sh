#!/usr/bin/env bash
# Installs RabbitMQ and amqp-tools from the system's packages, without starting a system broker: orderlane's demo, tests
# and benchmarks start private brokers of their own. Does nothing when both are there, or when ORDERLANE_BROKER names one.
set -euo pipefail

server=/usr/lib/rabbitmq/bin/rabbitmq-server
missing=()
[ -x "$server" ] || missing+=(rabbitmq-server)
command -v amqp-publish >/dev/null || missing+=(amqp-tools)
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ "${1:-}" != --tests ] && [ -n "${ORDERLANE_BROKER:-}" ]; then exit 0; fi

as_root=()
give_up() {
  cat >&2 <<MESSAGE
orderlane: ${missing[*]} not found, and $1.
  Install with:  sudo apt-get install --no-install-recommends ${missing[*]}
  or, for the demo alone, set ORDERLANE_BROKER=amqp://user:password@host to use a broker that you have.
MESSAGE
  exit 1
}
command -v apt-get >/dev/null || give_up 'this system has no apt-get'
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null && sudo -n true 2>/dev/null || give_up 'neither root nor password-less sudo is at hand'
  as_root=(sudo -n)
fi

echo "orderlane: installing ${missing[*]} from the system's packages (about a minute)" >&2
log=$(mktemp)
# While the packages are configured, a policy-rc.d that forbids every service keeps the system broker from starting.
policy=/usr/sbin/policy-rc.d
ours=''
undo() {
  [ -z "$ours" ] || "${as_root[@]}" rm -f "$policy"
  rm -f "$log"
}
trap undo EXIT
if [ ! -e "$policy" ]; then
  ours=yes
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi
quiet() { "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; give_up "'$*' failed"; }; }
quiet "${as_root[@]}" apt-get update -q
quiet "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
# Nor shall one start at the next boot, if this script is what brought it.
if [ -n "$ours" ] && [[ " ${missing[*]} " == *' rabbitmq-server '* ]] && command -v systemctl >/dev/null; then
  "${as_root[@]}" systemctl disable rabbitmq-server >/dev/null 2>&1 || true
fi
