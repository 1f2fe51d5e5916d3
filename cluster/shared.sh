# shellcheck shell=bash
# Shared by the programs of this folder that run hosts on one machine (source it; it is no program).

# fail CODE TEXT…: ends with one line.
fail() {
    local code=$1
    shift
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit "$code"
}

# need_programs PROGRAM=PACKAGE…: names every one that is missing, a line each, and ends with 66 if any is.
need_programs() {
    local pair missing=false PATH=$PATH:/usr/sbin:/sbin
    for pair; do
        command -v "${pair%%=*}" >/dev/null && continue
        printf '%s: %s is missing; install the package %s\n' "$(basename "$0")" "${pair%%=*}" "${pair#*=}" >&2
        missing=true
    done
    if $missing; then exit 66; fi
}

# need_root: namespaces, mounts and sshd need it.
need_root() {
    [ "$(id -u)" -eq 0 ] || fail 66 "root is missing; hosts are made of namespaces: start it with sudo"
}

# default_folder NAME: where a run lives unless the user names a folder.
default_folder() {
    if [ -n "${XDG_RUNTIME_DIR:-}" ] && [ -d "$XDG_RUNTIME_DIR" ]; then
        printf '%s/vergence-%s\n' "$XDG_RUNTIME_DIR" "$1"
    else
        printf '%s/vergence-%s-%s\n' "${TMPDIR:-/tmp}" "$1" "$(id -u)"
    fi
}

# absolute PATH
absolute() {
    case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s/%s\n' "$PWD" "$1" ;;
    esac
}

# start_time PID: when the process began, in the kernel's ticks; empty if there is none. (The name may hold blanks.)
start_time() {
    sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

# remember FILE PID: so that no later process with the same number is taken for it.
remember() {
    printf '%s %s\n' "$2" "$(start_time "$2")" >"$1"
}

# process FILE: prints the number of a remembered process; fails if it has ended.
process() {
    local number='' began=''
    read -r number began 2>/dev/null <"$1" || return 1
    [ -n "$began" ] && [ "$(start_time "$number")" = "$began" ] && printf '%s\n' "$number"
}

# end_process FILE: kills a remembered process, waits until it is gone, and forgets it.
end_process() {
    local number tries
    if number=$(process "$1"); then
        kill -KILL "$number" 2>/dev/null || true
        for ((tries = 0; tries < 200; tries++)); do
            process "$1" >/dev/null || break
            sleep 0.02
        done
    fi
    rm -f "$1"
}

# eventually SECONDS COMMAND…: tries until it succeeds; fails when the time is over.
eventually() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then return 1; fi
        sleep 0.05
    done
}
