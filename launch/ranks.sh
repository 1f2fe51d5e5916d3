# Shared by launch/local and launch/cluster (source it; it is no program). What mpirun must be told, and why, stands in
# Sources/Supervision/MPISettings.swift: `vergence launch` does the work.

# fail CODE TEXT…: ends with one line.
fail() {
    local code=$1
    shift
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit "$code"
}

# need_program PATH: prints its absolute path, because ranks on other hosts start elsewhere.
need_program() {
    case $1 in
    /*) program=$1 ;;
    *) program=$PWD/$1 ;;
    esac
    [ -x "$program" ] || fail 66 "$program is missing; build it with: swift build -c release, or name another with --program"
    printf '%s\n' "$program"
}

# has_option NAME ARGUMENT…: whether NAME or NAME=… is among the arguments.
has_option() {
    local name=$1 argument
    shift
    for argument; do
        case $argument in "$name" | "$name"=*) return 0 ;; esac
    done
    return 1
}

# has_short NAME ARGUMENT…: whether NAME, or NAME with its value attached (-n4), is among the arguments.
has_short() {
    local name=$1 argument
    shift
    for argument; do
        case $argument in "$name"*) return 0 ;; esac
    done
    return 1
}

# split_options ARGUMENT…: sets program, options (of vergence launch) and command; shows the usage if asked to.
split_options() {
    program=$root/.build/release/vergence
    options=()
    while [ $# -gt 0 ]; do
        case $1 in
        --program) [ $# -ge 2 ] || fail 64 "$1 needs a value; see --help"
            program=$2 && shift 2 ;;
        -h | --help) usage && exit 0 ;;
        --) shift && break ;;
        # Those with a value.
        -n | -t | -f | -i | --ranks | --threads | --hostfile | --network | --prefix | --min-ranks | --max-restarts | \
            --mpirun-arg)
            [ $# -ge 2 ] || fail 64 "$1 needs a value; see --help"
            options+=("$1" "$2") && shift 2 ;;
        -*) options+=("$1") && shift ;;
        *) break ;;
        esac
    done
    [ $# -gt 0 ] || fail 64 "which command of vergence? see --help"
    command=("$@")
    program=$(need_program "$program")
}
