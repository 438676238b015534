#!/usr/bin/env bash
# Installs a Debian package for real, on a throw-away overlay of this system, and removes it again: as root,
#
#   packaging/try_deb.sh build/release/cllm_*.deb
#
# Nothing outside the overlay changes; it ends with this process's mount namespace.
set -eu
package=$(realpath "$1")
[ "${2:-}" = inside ] || exec unshare --mount "$0" "$package" inside

over=$(mktemp -d)
mount -t tmpfs none "$over"
mkdir "$over/changes" "$over/work" "$over/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$over/changes,workdir=$over/work" "$over/root"
cp "$package" "$over/root/cllm.deb"
chroot "$over/root" sh -eu -c '
  dpkg --install /cllm.deb
  cllm --version
  ldconfig -p | grep -q libcllm.so.0
  test "$(stat -c "%G %a" /etc/cllm)" = "cllm 750"
  dpkg --purge cllm
  test ! -e /usr/bin/cllm && test ! -e /etc/cllm
  echo "installed, run, purged"'
umount "$over/root" "$over"
rmdir "$over"
