#!/usr/bin/env bash
# The way of a new user on a system with nothing but git, curl and certificates: clone, set up, serve, ask. As root,
#
#   packaging/try_new_user.sh SUITE [MIRROR]       # bookworm, trixie; PORT=8080
#
# debootstrap makes the system in a temporary folder (about 2 GB), which is removed at the end. Each line of output bears
# the seconds since the clone began; the last ones are the answer. What runs ends with this process's namespaces.
set -eu
suite=$1 mirror=${2:-} port=${PORT:-8080} # without a mirror: debootstrap's own
here=$(cd "$(dirname "$0")" && pwd)
[ "${INSIDE:-}" = 1 ] || INSIDE=1 exec unshare --mount --pid --fork --kill-child "$0" "$@"

work=$(mktemp -d) root=$work/root
# What still runs in here would hold the mounts; nothing is removed while one of them is there.
finish() {
  kill "$(cat "$root/server.pid" 2>/dev/null)" 2>/dev/null || true
  for dir in "$root/proc" "$root/dev"; do
    ! mountpoint -q "$dir" || umount -R -l "$dir" || return
  done
  rm -rf --one-file-system "$work"
}
trap finish EXIT
debootstrap --variant=minbase --include=git,ca-certificates,curl "$suite" "$root" ${mirror:+"$mirror"} >"$work/debootstrap.log" ||
  { tail -5 "$work/debootstrap.log" >&2; exit 1; }
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# The network as this machine has it, with the authorities that it trusts.
cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
git clone -q --bare "$(git -C "$here" rev-parse --path-format=absolute --git-common-dir)" "$root/cllm.git"
git -C "$here" push -q -f "$root/cllm.git" HEAD:refs/heads/tried

cat >"$root/user.sh" <<'USER'
set -eu
cd /root
git clone -q -b tried /cllm.git cllm && cd cllm
echo "cloned"
command -v make || tools/setup.sh
make serve ARGS="--port $PORT" &
echo $! >/server.pid
# shellcheck disable=SC2034 # counts
for try in $(seq 1800); do
  curl -sf "http://127.0.0.1:$PORT/health" >/dev/null && break
  kill -0 $! || exit 1
  sleep 0.5
done
echo "healthy"
curl -s "http://127.0.0.1:$PORT/v1/chat/completions" -H 'Content-Type: application/json' \
  -d '{"messages":[{"role":"system","content":"You are a helpful assistant."},
                   {"role":"user","content":"What is the capital of France?"}],"max_tokens":64,"temperature":0}'
echo
echo "answered"
USER
start=$(date +%s%N)
chroot "$root" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PORT="$port" \
  ${PIP_CERT:+PIP_CERT="$PIP_CERT" NODE_EXTRA_CA_CERTS="$PIP_CERT"} bash /user.sh 2>&1 |
  while IFS= read -r line; do
    printf '%6.1f %s\n' "$((($(date +%s%N) - start) / 100000000))e-1" "$line"
    [ "$line" != answered ] || break
  done
