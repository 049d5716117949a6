#!/usr/bin/env bash
# Makes a Debian 13 root with RabbitMQ 4 under .tools/, for the fault matrix, and prints where it is. Does nothing more when it
# is there. Debian 12 has RabbitMQ 3.10; the two run side by side, this one in a chroot, so root is needed to make and to run it.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")/.tools/debian-13
if [ -x "$root/usr/lib/rabbitmq/bin/rabbitmq-server" ]; then
  echo "$root"
  exit 0
fi

give_up() {
  cat >&2 <<MESSAGE
orderlane: no RabbitMQ 4: $1.
  To play the fault matrix on the system's RabbitMQ alone:  make test-faults BROKER=3
MESSAGE
  exit 1
}
[ "$(id -u)" -eq 0 ] || give_up 'making and entering a Debian 13 root needs root'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quiet() { "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; give_up "'$*' failed"; }; }
if ! command -v debootstrap >/dev/null; then
  command -v apt-get >/dev/null || give_up 'debootstrap not found, and this system has no apt-get'
  quiet apt-get update -q
  quiet env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends debootstrap
fi

echo "orderlane: making a Debian 13 root with RabbitMQ 4 in .tools/ (about a minute)" >&2
mkdir -p "$(dirname "$root")"
# Beside its place, and moved there when it is whole. The mirror is the one that this system itself uses.
half=$root.half
rm -rf "$half"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
quiet debootstrap --variant=minbase --include=rabbitmq-server trixie "$half" "${mirror:-http://deb.debian.org/debian}"
rm -rf "$root"
mv "$half" "$root"
echo "$root"
