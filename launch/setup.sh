# Shared by the scripts of this folder (source it; it is no program). Finds or installs what a build needs.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Packages by what they are for: build and run, and the tools of the tests.
packages=(libopenmpi-dev openmpi-bin libopenblas-dev liblz4-dev libxxhash-dev libpng-dev libturbojpeg0-dev pkg-config lz4
    ffmpeg)

say() { printf '%s\n' "$*" >&2; }

# Installs the packages that are missing; names them where it cannot.
install_packages() {
    local missing=() package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]}"
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "missing packages, and neither root nor sudo to install them; ask for: apt-get install ${missing[*]}"
            exit 66
        fi
        root=(sudo)
    fi
    if ! { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            "${missing[@]}"; } >&2; then
        say "could not install ${missing[*]}; with a network connection run: apt-get install ${missing[*]}"
        exit 66
    fi
}

require_swift() {
    if ! command -v swift >/dev/null; then
        say "swift is missing; install Swift 6 for Debian 12 from https://www.swift.org/install/linux/debian/12 and put it on PATH"
        exit 66
    fi
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\).*/\1/p' | head -1)
    if [ "${version:-0}" -lt 6 ]; then
        say "Swift 6 or later is needed, found $(swift --version 2>/dev/null | head -1); see https://www.swift.org/install"
        exit 66
    fi
}

# build FOLDER ARGS…: a release build into FOLDER, quiet unless it fails. (With SwiftPM's cache it needs no network.)
build() {
    require_swift
    local scratch=$1 log=$1/launch-build.log
    shift
    mkdir -p "$scratch"
    say "building (a few minutes the first time; log in $log)"
    if ! swift build -c release --scratch-path "$scratch" "$@" >"$log" 2>&1; then
        grep -E 'error|warning: unable' "$log" | head -20 >&2 || tail -20 "$log" >&2
        if grep -qiE 'could not resolve host|failed to clone|unable to access' "$log"; then
            say "the Swift packages could not be fetched: connect to the network once, later builds work without"
            exit 66
        fi
        say "the build failed; the whole log is in $log"
        exit 70
    fi
}
