#!/usr/bin/env bash
# Installs, configures, runs, upgrades, removes and purges the Debian package in a fresh root of each suite. The server runs by
# the command of its unit, as a user without rights, on the suite's own Postgres. systemd itself does not run there.
# Needs root, debootstrap, curl, Python and a mirror of Debian.
#   usage: tests/packages/run.sh PACKAGE NEWER_PACKAGE [SUITE…]
set -euo pipefail
package=$(realpath "$1") newer=$(realpath "$2")
shift 2
suites=("${@:-bookworm}")
[ $# -gt 0 ] || suites=(bookworm trixie)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
roots=${PACKAGES_ROOTS:-$PWD/target/packages}
# A free port, for the server's health.
watch=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

fail() { echo "FAILED: $*" >&2; exit 1; }
expect() { local what=$1; shift; "$@" || fail "$what"; }
missing() { [ ! -e "$1" ]; }

try() {
  local suite=$1 root=$roots/$1.root server='' version='' before
  local enter=(chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8)
  inside() { "${enter[@]}" "$@"; }
  files() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./run -o -path ./var/log -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/postgresql -o -path './var/lib/dpkg/*-old' -o -path './var/lib/dpkg/lock*' \) -prune -o -print | sort); }
  leave() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    [ -z "$version" ] || inside pg_ctlcluster "$version" main stop -m immediate 2>/dev/null || true
    umount --lazy "$root/proc"
  }

  echo "== $suite"
  if [ ! -d "$roots/$suite" ]; then
    mkdir -p "$roots"
    debootstrap --variant=minbase "$suite" "$roots/$suite.new" "$mirror" >"$roots/$suite.log" 2>&1 || fail "debootstrap: see $roots/$suite.log"
    mount -t proc proc "$roots/$suite.new/proc"
    chroot "$roots/$suite.new" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql systemd >>"$roots/$suite.log" 2>&1
    umount "$roots/$suite.new/proc"
    mv "$roots/$suite.new" "$roots/$suite"
  fi
  rm -rf --one-file-system "$root"
  cp -a "$roots/$suite" "$root"
  mount -t proc proc "$root/proc"
  trap leave EXIT
  # libpq5 is there with Postgres; without it dpkg would refuse the package, which is a check of its dependencies.
  cp "$package" "$root/tmp/package.deb"
  cp "$newer" "$root/tmp/newer.deb"
  # systemd's own folder.
  [ -d "$root/var/lib/private" ] || mkdir -m 700 "$root/var/lib/private"
  before=$(files)

  inside apt-get install -q -y -o Dpkg::Use-Pty=0 --no-install-recommends /tmp/package.deb >"$root/tmp/installed"
  grep -q 'README.Debian' "$root/tmp/installed" || fail "the package does not say what to do next"
  inside sigpersist --version
  expect "no manual page" test -s "$root/usr/share/man/man1/sigpersist-tenant-create.1.gz"
  inside bash -c '. /usr/share/bash-completion/completions/sigpersist && complete -p sigpersist' >/dev/null
  expect "the unit is not enabled" test -L "$root/etc/systemd/system/multi-user.target.wants/sigpersist.service"
  problems=$(inside systemd-analyze verify --man=no sigpersist.service 2>&1 | grep -i sigpersist || true)
  [ -z "$problems" ] || fail "systemd-analyze: $problems"

  # What README.Debian says, with a database on this machine.
  version=$(ls "$root/usr/lib/postgresql")
  inside pg_ctlcluster "$version" main start
  inside su postgres -c "psql -q -c \"create role sigpersist login superuser password 'secret'\" -c 'create database sigpersist owner sigpersist'"
  database_port=$(inside pg_lsclusters --no-header | awk '{ print $3 }')
  local url=postgres://sigpersist:secret@127.0.0.1:$database_port/sigpersist
  inside env "DATABASE_URL=$url" sigpersist migrate | tail -n 1
  (umask 077 && openssl rand -hex 32 >"$root/etc/sigpersist/master.key" && echo "DATABASE_URL=$url" >"$root/etc/sigpersist/environment")

  # The command and the environment of the installed unit. Its user may read neither secret: systemd hands them over.
  local unit=$root/usr/lib/systemd/system/sigpersist.service state=/var/lib/private/sigpersist given=/run/sigpersist-credentials
  mkdir -p "$root$state" "$root$given" && ln -sfn private/sigpersist "$root/var/lib/sigpersist"
  install -m 400 -o 64999 "$root/etc/sigpersist/master.key" "$root$given/master.key"
  chown -R 64999 "$root$state" && chmod 700 "$root/var/lib/private" "$root$state" && chmod 755 "$root/var/lib/private"
  mapfile -t environment < <(sed -n 's/^Environment=//p' "$unit" | sed -e "s#%d#$given#" -e "s#%S#/var/lib#" -e "s#:8081#:$watch#")
  local command
  command=$(sed -n 's/^ExecStart=//p' "$unit")
  # shellcheck disable=SC2086 # The words of the command.
  "${enter[@]}" setpriv --reuid 64999 --regid 64999 --clear-groups --no-new-privs --bounding-set -all \
    env "${environment[@]}" SIGPERSIST_HTTP_LISTEN=127.0.0.1:0 "$(cat "$root/etc/sigpersist/environment")" $command >"$root/tmp/server" 2>&1 &
  server=$!
  ready() { curl -fsS "http://127.0.0.1:$watch/health/ready" 2>/dev/null; }
  for _ in $(seq 100); do ready >/dev/null && break; sleep 0.2; done
  ready || { cat "$root/tmp/server"; fail "the server is not ready"; }
  echo

  echo '# A change of the admin.' >>"$root/etc/sigpersist/sigpersist.toml"
  inside apt-get install -q -y -o Dpkg::Use-Pty=0 /tmp/newer.deb >"$root/tmp/upgraded" </dev/null
  grep -q 'systemctl restart' "$root/tmp/upgraded" || fail "the upgrade does not say what to do next"
  expect "the upgrade changed a changed setting" grep -q 'change of the admin' "$root/etc/sigpersist/sigpersist.toml"
  { kill -0 "$server" && ready >/dev/null; } || fail "the upgrade stopped the server"
  inside dpkg-query --show sigpersist

  kill "$server"
  wait "$server" || fail "the server did not stop well"
  server=''
  inside apt-get remove -q -y -o Dpkg::Use-Pty=0 sigpersist >/dev/null
  expect "a removed package leaves its program" missing "$root/usr/bin/sigpersist"
  expect "a removed package takes its settings" test -e "$root/etc/sigpersist/sigpersist.toml"
  inside apt-get purge -q -y -o Dpkg::Use-Pty=0 sigpersist >"$root/tmp/purged" 2>&1
  grep -q 'master.key is yours and stays' "$root/tmp/purged" || fail "the purge does not say what stays"
  diff <(printf '%s\n./etc/sigpersist\n./etc/sigpersist/environment\n./etc/sigpersist/master.key\n' "$before" | sort) <(files) || fail "the purge leaves something, or takes too much"
  echo "Purged: only the master key and the environment are left."
  leave
  trap - EXIT
  rm -rf --one-file-system "$root"
}

for suite in "${suites[@]}"; do
  try "$suite"
done
