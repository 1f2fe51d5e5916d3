# Shared by launch/local and launch/cluster (source it; it is no program): what mpirun must be told, each for a reason.
# A setting of yours (OMPI_MCA_… in the environment) always wins.

# fail CODE TEXT…: ends with one line.
fail() {
    local code=$1
    shift
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit "$code"
}

# need_value OPTION COUNT: COUNT is what is left of the command line, the option itself included.
need_value() {
    [ "$2" -ge 2 ] || fail 64 "$1 needs a value; see --help"
}

# need_number OPTION VALUE: a whole number of at least 1.
need_number() {
    case $2 in
    '' | *[!0-9]* | 0*) fail 64 "$1 needs a whole number of at least 1, not '$2'; see --help" ;;
    esac
}

need_mpirun() {
    command -v mpirun >/dev/null || fail 66 "mpirun is missing; install openmpi-bin, or load your cluster's MPI module"
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

# setting NAME VALUE: a parameter of Open MPI, unless the environment has it.
setting() {
    local name=OMPI_MCA_$1
    [ -n "${!name+set}" ] || export "$name=$2"
}

# Settings that hold on one host and on many.
ranks_environment() {
    # Vergence's own threads call OpenBLAS; threads of its own on top would fight them.
    export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
    # mpirun binds each of two ranks to ONE core by default, whatever threads it has.
    setting hwloc_base_binding_policy none
    # Ranks that wait in MPI leave the core to those that compute.
    setting mpi_yield_when_idle 1
    # Plain point-to-point transport: starts fast, and is what we test.
    setting pml ob1
    setting btl_base_warn_component_unused 0
    # When a rank died or mpirun is told to end, it waits this long before it sends SIGTERM, and as long again, in which
    # ranks may save a checkpoint, before SIGKILL (default: 1 s). So twice this is what a failure costs.
    setting odls_base_sigkill_timeout 5
}
