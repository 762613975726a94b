# shellcheck shell=bash
# Sourced by the other scripts: where things are kept, how they speak, and the tools that a bare Debian lacks.

cache_default="${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/magiclens"
# Outside the repository: a fresh clone then finds what another one has built.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache_default/target}"

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

missing_commands=()
missing_packages=()

# need COMMAND PACKAGE...: remembers the Debian packages of a command that is not there.
need() {
    command -v "$1" >/dev/null && return
    missing_commands+=("$1")
    missing_packages+=("${@:2}")
}

# Installs what `need` remembered where that is possible, else names it and stops.
install_needed() {
    [ ${#missing_packages[@]} -gt 0 ] || return 0
    local install="apt-get install -y --no-install-recommends ${missing_packages[*]}"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "missing: ${missing_commands[*]}" "on Debian as root: apt-get update && $install"
    fi
    say "installing ${missing_packages[*]}"
    apt-get update -qq >/dev/null || fail "\`apt-get update\` failed" "see the lines above"
    DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null || fail "\`$install\` failed" "see the lines above"
    missing_commands=()
    missing_packages=()
}

# What every build needs. SQLite and a few others are C, and linking needs a C compiler anyway.
need_rust() {
    command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    command -v cargo >/dev/null || fail "no \`cargo\`" "install Rust as https://rustup.rs describes, version 1.95 or later"
    need cc gcc libc6-dev
}

# need_venv VARIABLE FOLDER PACKAGE...: a Python of its own in the cache with these packages; nothing is installed for the system. The
# variable gets its path, unless it names another Python already.
need_venv() {
    local variable="$1" folder="$cache_default/$2" packages="${*:3}"
    [ -z "${!variable:-}" ] || return 0
    export "$variable=$folder/bin/python"
    [ "$(cat "$folder/packages" 2>/dev/null)" != "$packages" ] || return 0
    python3 -c 'import ensurepip, venv' 2>/dev/null || need no-such-command python3-venv
    install_needed
    say "fetching Python packages into $folder"
    rm -rf "$folder"
    python3 -m venv "$folder" && "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${@:3}" >&2 \
        || fail "the Python packages could not be fetched" "see the lines above; $variable can name a Python that has them"
    echo "$packages" >"$folder/packages"
}

# What tests and benchmarks of mining stand beside: Spark, an object store's protocol, parsers to compare with.
need_python() {
    need_venv MAGICLENS_PYTHON python pyspark==4.3.0 "moto[server]==5.2.5" huggingface_hub==2.4.0 warcio==1.8.1 selectolax==1.0.2 \
        pillow==13.0.0 ImageHash==4.3.2
}

# What the benchmarks of towers stand beside: torch and ONNX Runtime. Some gigabytes, so no test needs it.
need_bench_python() {
    need_venv MAGICLENS_BENCH_PYTHON python-bench torch==2.15.0 transformers==5.24.0 sentence-transformers onnx onnxscript onnxruntime \
        pillow numpy
}

# JAX, for the same benchmarks. Transformers 4 is the last that has CLIP in Flax, so it cannot share a Python with torch's.
need_jax_python() {
    need_venv MAGICLENS_JAX_PYTHON python-jax transformers==4.57.6 jax==0.10.2 flax==0.12.8 safetensors==0.8.0
}

# The folder of the program that `cargo build` and `cargo test` leave behind.
program="$CARGO_TARGET_DIR/debug/magiclens"
