#!/usr/bin/env bash
# Installs the Postgres programs (for the embedded database and the tests) and libpq's development files (for the build) with the
# system's package manager, if they are missing. Otherwise does nothing.
set -euo pipefail

have_postgres() {
  local folder
  for folder in ${PATH//:/ } "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
    /usr/libexec/postgresql*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin; do
    if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ]; then return 0; fi
  done
  return 1
}

have_libpq() {
  command -v pg_config >/dev/null || pkg-config --exists libpq 2>/dev/null || return 1
  echo 'int main(void) { return 0; }' |
    cc -x c - -o /dev/null -L"$(pg_config --libdir 2>/dev/null || echo /usr/lib)" -lpq 2>/dev/null
}

missing=()
have_postgres || missing+=("the Postgres programs")
have_libpq || missing+=("libpq's development files")
[ ${#missing[@]} -gt 0 ] || exit 0

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    echo "This needs root: run '$*' as root, then try again." >&2
    exit 1
  fi
}

printf -v list ' and %s' "${missing[@]}"
echo "Missing:${list# and}. Installing them with the system's package manager (as root)."
if command -v apt-get >/dev/null; then
  # Prevents Debian from starting a Postgres with the package; only the programs are needed.
  as_root mkdir -p /etc/postgresql-common/createcluster.d
  echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.d/sigpersist.conf >/dev/null
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql libpq-dev pkg-config
elif command -v dnf >/dev/null; then
  as_root dnf install -y postgresql-server postgresql-contrib libpq-devel
elif command -v apk >/dev/null; then
  as_root apk add postgresql postgresql-contrib libpq-dev
elif command -v brew >/dev/null; then
  brew install postgresql@17
else
  echo "There is no apt-get, dnf, apk or brew. Install Postgres (14 to 18) and libpq's development files by hand." >&2
  exit 1
fi
