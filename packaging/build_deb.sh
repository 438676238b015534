#!/usr/bin/env bash
# The Debian package, made with dpkg's own tools: packaging/build_deb.sh BUILD VERSION. `make deb` calls it.
#
# DEBFULLNAME and DEBEMAIL, as everywhere in Debian, say who answers for the package; without them nobody's address stands there.
# BUILD/deb/cllm is what gets installed, BUILD/deb/debian what the tools of dpkg want to read.
set -eu
build=$1 version=$2-1
here=$(cd "$(dirname "$0")" && pwd)
libs=usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
maintainer="${DEBFULLNAME:-the cLLM authors} <${DEBEMAIL:-cllm@localhost}>"
work=$build/deb root=$build/deb/cllm

rm -rf "$work"
mkdir -p "$work/debian" "$root/DEBIAN" "$root/usr/share/doc/cllm"
make -s -C "$here/.." install BUILD="$build" PREFIX=/usr LIBDIR="/$libs" DESTDIR="$(realpath "$root")"
strip --strip-unneeded "$root/usr/bin/cllm" "$root/$libs/libcllm.so.0"
strip --strip-debug "$root/$libs/libcllm.a"
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"

date=$(git -C "$here" log -1 --format=%cD 2>/dev/null || date -R)
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(date -d "$date" +%s)
cp "$here/debian/control" "$work/debian/control"
{
  printf 'cllm (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n' "$version"
  printf ' -- %s  %s\n' "$maintainer" "$date"
} >"$work/debian/changelog"
gzip -9n <"$work/debian/changelog" >"$root/usr/share/doc/cllm/changelog.Debian.gz"
cp "$here/../LICENSE" "$root/usr/share/doc/cllm/copyright"
gzip -9n "$root"/usr/share/man/man1/*.1
for script in postinst prerm postrm; do install -m 755 "$here/debian/$script" "$root/DEBIAN/$script"; done
install -m 644 "$here/debian/triggers" "$root/DEBIAN/triggers" # of the library

(
  cd "$work"
  dpkg-shlibdeps -Tdebian/substvars -xcllm cllm/usr/bin/cllm "cllm/$libs/libcllm.so.0"
  echo 'libcllm 0 cllm' >cllm/DEBIAN/shlibs
  dpkg-gencontrol -pcllm -Pcllm -DMaintainer="$maintainer" -Tdebian/substvars -fdebian/files
  cd cllm
  find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums
)
chmod -R u+rwX,go+rX,go-w "$root"
dpkg-deb --root-owner-group --build "$root" "$build"
