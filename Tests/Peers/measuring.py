"""Runs the measurements of Tests/Peers/compare, each side in processes of its own."""
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys

from figures import summary

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KEPT = "--keep-heap"
# glibc gives large blocks back to the system at every free, and pages them in again at every step. Told to keep them,
# PyTorch trains far faster, at the price of memory. Vergence takes its memory once.
KEEP_HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 28)}
# What a user's shell may have that would favour or hamper one side.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OMP_PROC_BIND",
         "GOMP_CPU_AFFINITY", "MKL_NUM_THREADS", "MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA",
         "LD_PRELOAD", "GLIBC_TUNABLES", "PYTHONPATH") + tuple(KEEP_HEAP)


def fail(code, text):
    print(f"compare: {text}", file=sys.stderr)
    raise SystemExit(code)


def say(text):
    print(text, file=sys.stderr, flush=True)


def bind(count, allowed):
    """Binds this process, and so all that it starts, to `count` processors, one of each core first, and says which."""
    first, others, seen = [], [], set()
    for cpu in allowed:
        try:
            with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") as file:
                core = file.read().strip()
        except OSError:
            core = str(cpu)
        (others if core in seen else first).append(cpu)
        seen.add(core)
    chosen = sorted((first + others)[:count])
    os.sched_setaffinity(0, chosen)
    return chosen


def environment(more=()):
    result = {name: value for name, value in os.environ.items() if name not in UNSET}
    result.update(more)
    return result


class SideFailed(Exception):
    pass


class Bench:
    """Runs the measurements, and ends what it started."""

    def __init__(self, options, work):
        self.options, self.work, self.python, self.folder = options, work, "", ""
        self.adam, self.steps, self.started = "fused", options.steps, []
        self.allowed = sorted(os.sched_getaffinity(0))
        wanted = max(options.threads, 2 if "ddp" in options.only else 1)
        if wanted > len(self.allowed):
            fail(64, f"{wanted} threads on {len(self.allowed)} processors; choose fewer, with --threads or --only")

    @property
    def vergence(self):
        return os.path.join(self.folder, "vergence")

    def start(self, command, more=()):
        log = os.path.join(self.work, f"errors{len(self.started)}.log")
        with open(log, "w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment(more))
        process.log = log
        self.started.append(process)
        return process

    def finish(self, process, what):
        """Standard output, and the peak of resident memory in bytes, of a process."""
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            with open(process.log) as file:
                lines = file.read().strip().splitlines() or ["no message"]
            raise SideFailed(f"{what} ended with {process.returncode}: {lines[-1]}")
        return text, usage.ru_maxrss * 1024

    def end(self):
        running = [process for process in self.started if process.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(20)  # mpirun gives its ranks some seconds to save
            except subprocess.TimeoutExpired:
                process.kill()

    def run(self, *command):
        return self.finish(self.start(list(command)), os.path.basename(command[0]))

    def peer(self, command, flags=(), ranks=1):
        """One run of peer.py, or of one per rank; the result of rank 0."""
        more = {"TORCHINDUCTOR_CACHE_DIR": os.path.join(self.work, "inductor"), "GLOO_SOCKET_IFNAME": "lo"}
        if KEPT in flags:
            more.update(KEEP_HEAP)
        script = [self.python, os.path.join(HERE, "peer.py"), command, *(flag for flag in flags if flag != KEPT)]
        if command in ("train", "infer"):
            infer = command == "infer"
            script += ["--batch", str(1 if infer else self.options.batch), "--size", self.options.size]
            script += ["--threads", str(1 if ranks > 1 else self.options.threads), "--adam", self.adam]
            script += ["--steps", str(self.steps * (10 if infer else 1)), "--warm-up", str(10 if infer else 2)]
        if ranks > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                script += ["--ranks", str(ranks), "--port", str(free.getsockname()[1])]
        processes = [self.start(script + (["--rank", str(rank)] if ranks > 1 else []), more) for rank in range(ranks)]
        return [json.loads(self.finish(process, f"PyTorch ({command})")[0]) for process in processes][0]

    def own(self, command):
        """One run of vergence bench."""
        infer = command == "inference"
        text, peak = self.run(
            self.vergence, "bench", command, "--batch", str(1 if infer else self.options.batch), "--size",
            self.options.size, "--threads", str(self.options.threads), "--repetitions",
            str(self.steps * (10 if infer else 1)), "--no-limits", "--json", "-")
        return {**json.loads(text), "peak_bytes": peak}

    def own_ranks(self):
        """Two ranks under mpirun; two steps that do not count go first."""
        data, steps, run = os.path.join(self.work, "data"), self.steps + 2, os.path.join(self.work, "run")
        if not os.path.exists(data):
            self.run(os.path.join(self.folder, "vergence-shards"), "synth", data, "--pairs",
                     str(2 * self.options.batch * steps), "--size", self.options.size, "--seed", "1")
        shutil.rmtree(run, ignore_errors=True)
        self.run(os.path.join(ROOT, "launch", "local"), "-n", "2", "-t", "1", "--program", self.vergence, "train", data,
                 "--run", run, "--lanes", "2", "--lane-batch", str(self.options.batch), "--steps", str(steps),
                 "--lr", "0.0001", "--checkpoint-every", "1000000")
        with open(os.path.join(run, "steps.csv")) as file:
            names, *rows = [line.strip().split(",") for line in file]
        seconds = [float(row[names.index("seconds")]) for row in rows][2:]
        return {"median_seconds": statistics.median(seconds), "seconds": seconds}

    def check(self, compiling):
        """Ends with 65 unless both sides compute the same."""
        found = self.peer(
            "check", ["--vergence", self.vergence, "--folder", self.work] + (["--compile"] if compiling else []))
        for layout, result in found.items():
            if layout == "vergence_loss":
                continue
            # Measured against float64, PyTorch's other gradients are up to 2e-2 off, its contiguous ones 2e-6.
            limits = {"loss_difference": 1e-5, "output_difference": 1e-4,
                      "gradient_difference": 1e-4 if layout == "contiguous" else 1e-1}
            for name, limit in limits.items():
                if not result[name] <= limit:
                    fail(65, f"the two sides compute different things: {layout}, {name.replace('_', ' ')} "
                             f"{result[name]:.2g}, allowed {limit:.0e}")
        return found

    def compare(self, section, settings, rounds, notes):
        """Rounds of each side in turn, for each of PyTorch's settings."""
        own, ours, ranks = {
            "train": (lambda: self.own("train-step"), "train", 1), "ddp": (self.own_ranks, "train", 2),
            "inference": (lambda: self.own("inference"), "infer", 1)}[section]
        processors = bind(2 if section == "ddp" else self.options.threads, self.allowed)
        found = {setting: ([], []) for setting in settings}
        for number in range(1, rounds + 1):
            for setting in list(found):
                say(f"compare: {section}, round {number} of {rounds}, {', '.join(setting)}")
                mine = own()
                try:
                    theirs = self.peer(ours, [f"--{word}" for word in setting if word != "eager"], ranks)
                except SideFailed as failure:
                    if "compile" not in setting:
                        raise
                    notes.append(f"Left out {section}, {', '.join(setting)}: {failure}")
                    del found[setting]
                    continue
                found[setting][0].append(mine)
                found[setting][1].append(theirs)
                say(f"compare:   PyTorch {theirs['median_seconds']:.3f} s, Vergence {mine['median_seconds']:.3f} s")
        return [summary(section, setting, processors, *sides) for setting, sides in found.items()]


def settings_of(options, compiling):
    """PyTorch's settings by comparison: words that are flags of peer.py, `eager` and `keep-heap` apart."""
    kept, last = ("eager", "keep-heap"), ("eager", "channels-last", "keep-heap")
    compiled, compiled_last = ("compile", "keep-heap"), ("compile", "channels-last", "keep-heap")
    bf16 = ("eager", "channels-last", "bf16", "keep-heap")
    some = {"train": [("eager",), kept, last], "ddp": [kept, last], "inference": [("eager",), kept, last]}
    more = {"train": [("compile",), compiled, compiled_last], "ddp": [compiled_last], "inference": [compiled, compiled_last]}
    if not options.quick:
        some["ddp"].insert(0, ("eager",))
        some["train"].append(bf16)
        some["inference"].append(bf16)
    if not compiling:
        more = {name: [] for name in more}
    only = options.only
    # Comparisons in the order in which they run. Those of memory are those of training.
    return {
        "train": (some["train"] if "train" in only else []) + (more["train"] if "compile" in only else []),
        "ddp": some["ddp"] + more["ddp"] if "ddp" in only else [],
        "inference": some["inference"] + more["inference"] if "inference" in only else []}
