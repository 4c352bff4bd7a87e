#!/usr/bin/env bash
# Makes in dist/ what a release holds: a tarball, a Debian package, a list of all parts (CycloneDX) and checksums. The same
# program gives the same bytes, whenever and wherever they are made. Needs Debian or Ubuntu, and Python 3.11.
#   usage: scripts/dist.sh [--out DIR] [--version VERSION] [--profile PROFILE | --program PROGRAM]
# --profile builds with another profile of Cargo than `release`. --program packages a program that is built already, and compresses
# little: for checks of the packages.
# SOURCE_DATE_EPOCH is the time of all files; by default, that of the last commit.
set -euo pipefail
cd "$(dirname "$0")/.."

out=dist profile=release program='' version=$(sed -n '/^\[package\]/,/^version/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2 ;;
    --version) version=$2 ;;
    --profile) profile=$2 ;;
    --program) program=$(realpath "$2") ;;
    *) sed -n '/^#   usage/,/^set/{/^#/p}' "$0" >&2; exit 2 ;;
  esac
  shift 2
done
for tool in dpkg-shlibdeps python3 strip xz; do
  command -v "$tool" >/dev/null || { echo "This needs $tool: install dpkg-dev, binutils, python3 and xz-utils." >&2; exit 1; }
done
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || { echo "This is no clone. Set SOURCE_DATE_EPOCH to the time of the release, in seconds." >&2; exit 1; }
fi
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

architecture=$(dpkg --print-architecture)
name=sigpersist-$version-$(uname -m)-linux-gnu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
rm -f "$out"/sigpersist[-_]* "$out/SHA256SUMS"

compression=(-9)
if [ -n "$program" ]; then
  compression=(-0)
else
  # Paths of this machine must not be in the program: they differ from one machine to the next.
  RUSTFLAGS="--remap-path-prefix=$PWD=/sigpersist --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
    CARGO_TARGET_DIR=target/dist cargo build --profile "$profile" --locked --bin sigpersist
  program=target/dist/$profile/sigpersist
fi

# The tarball is unpacked anywhere, so its folders are those of /usr/local.
root=$work/$name
doc=$root/share/doc/sigpersist
install -D "$program" "$root/bin/sigpersist"
strip --strip-all --remove-section=.comment "$root/bin/sigpersist"
"$root/bin/sigpersist" man-pages "$root/share/man/man1"
completions() { mkdir -p "$(dirname "$root/share/$2")" && "$root/bin/sigpersist" completions "$1" >"$root/share/$2"; }
completions bash bash-completion/completions/sigpersist
completions zsh zsh/site-functions/_sigpersist
completions fish fish/vendor_completions.d/sigpersist.fish
mkdir -p "$doc"
cp -r README.md CHANGELOG.md LICENSE sigpersist.toml deploy docs "$doc"
rm -rf "$doc/docs/clients" "$doc/deploy/debian"
cargo metadata --locked --format-version 1 --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" >"$work/metadata"
scripts/parts.py licences <"$work/metadata" >"$doc/THIRD-PARTY-LICENSES"
scripts/parts.py sbom <"$work/metadata" >"$out/sigpersist-$version.cdx.json"

touch_all() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }
touch_all "$root"
tar --create --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw --mtime="@$SOURCE_DATE_EPOCH" \
  --directory "$work" "$name" | xz --threads=1 "${compression[@]}" >"$out/$name.tar.xz"

# The Debian package has the same files in the folders of Debian, its unit, and the scripts of deploy/debian.
package=$work/debian
mkdir -p "$package/usr" "$package/DEBIAN"
cp -r "$root/bin" "$root/share" "$package/usr"
mv "$package/usr/share/zsh/site-functions" "$package/usr/share/zsh/vendor-completions"
gzip -9n "$package"/usr/share/man/man1/*.1
doc=$package/usr/share/doc/sigpersist
rm "$doc/LICENSE"
mv "$doc/CHANGELOG.md" "$doc/changelog"
cp deploy/debian/copyright deploy/debian/README.Debian "$doc"
printf 'sigpersist (%s-1) unstable; urgency=medium\n\n  * Release %s: changelog.gz says what is new.\n\n -- %s  %s\n' "$version" "$version" \
  "$(sed -n 's/^Maintainer: //p' deploy/debian/control)" "$(date -R -d "@$SOURCE_DATE_EPOCH")" >"$doc/changelog.Debian"
gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$doc/THIRD-PARTY-LICENSES"
install -D -m 644 sigpersist.toml "$package/etc/sigpersist/sigpersist.toml"
ln -sf /etc/sigpersist/sigpersist.toml "$doc/sigpersist.toml"
units=$package/usr/lib/systemd/system
mkdir -p "$units/sigpersist.service.d"
sed 's#/usr/local/#/usr/#' deploy/systemd/sigpersist.service >"$units/sigpersist.service"
cp deploy/debian/sigpersist.service.conf "$units/sigpersist.service.d/package.conf"
install -D -m 644 deploy/debian/lintian-overrides "$package/usr/share/lintian/overrides/sigpersist"
install -m 755 deploy/debian/{postinst,prerm,postrm} "$package/DEBIAN"
install -m 644 deploy/debian/conffiles "$package/DEBIAN"
mkdir "$work/shlibdeps" && mkdir "$work/shlibdeps/debian" && printf 'Source: sigpersist\n\nPackage: sigpersist\nArchitecture: any\n' >"$work/shlibdeps/debian/control"
depends=$(cd "$work/shlibdeps" && dpkg-shlibdeps -O -e"$package/usr/bin/sigpersist" | sed 's/^shlibs:Depends=//')
sed -e "s/@VERSION@/$version-1/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@DEPENDS@/$depends/" \
  -e "s/@SIZE@/$(du -k --apparent-size -s --exclude=DEBIAN "$package" | cut -f1)/" deploy/debian/control >"$package/DEBIAN/control"
(cd "$package" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort | xargs -d '\n' md5sum) >"$package/DEBIAN/md5sums"
chmod -R u=rwX,go=rX "$package"
touch_all "$package"
dpkg-deb --root-owner-group --threads-max=1 -Zxz "-z${compression[0]#-}" --build "$package" "$out/sigpersist_$version-1_$architecture.deb" >/dev/null

(cd "$out" && sha256sum -- sigpersist* >SHA256SUMS)
echo "Made in $out:"
(cd "$out" && du --apparent-size -h -- sigpersist*)
