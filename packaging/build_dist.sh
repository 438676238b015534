#!/usr/bin/env bash
# A tarball to unpack anywhere: packaging/build_dist.sh BUILD NAME. `make dist` calls it, with BUILD/cllm-dist, a program that
# needs few libraries of the system, already linked.
set -eu
build=$1 name=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$build/dist root=$build/dist/$name

rm -rf "$work"
mkdir -p "$work"
make -s -C "$here/.." install BUILD="$build" PREFIX=/usr/local DESTDIR="$(realpath "$work")/stage"
mv "$work/stage/usr/local" "$root"
# shellcheck disable=SC2016 # pkg-config's variable
sed -i 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$root/lib/pkgconfig/cllm.pc"
install -m 755 "$build/cllm-dist" "$root/bin/cllm"
strip --strip-unneeded "$root/bin/cllm" "$root/lib/libcllm.so.0"
strip --strip-debug "$root/lib/libcllm.a"
cp "$here/../README.md" "$here/../LICENSE" "$root/"
date=$(git -C "$here" log -1 --format=@%ct 2>/dev/null || date +@%s)
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="$date" -C "$work" -czf "$build/$name.tar.gz" "$name"
echo "$build/$name.tar.gz"
