"""The PyTorch side of Tests/Peers/compare, one process a measurement; prints one line of JSON.

peer.py probe | check | train | infer, each with --help. Runs in an environment with the packages of requirements.txt.
"""
import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import numpy
import torch

from wnet_torch import Loss, WNet


def write_safetensors(path, tensors):
    header, offset, chunks = {}, 0, []
    for name, tensor in tensors.items():
        data = numpy.ascontiguousarray(tensor.detach().numpy(), dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        chunks.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: numpy.frombuffer(data[slice(*entry["data_offsets"])], "<f4").astype("f8").reshape(entry["shape"])
            for name, entry in header.items() if entry["dtype"] == "F32"}


def peak_bytes():
    """The most memory that this process ever had resident: VmHWM."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def best_adam(parameters):
    """The fastest of PyTorch's ways to update all parameters, and the seconds of each."""
    seconds = {}
    for way in ("fused", "foreach", "plain"):
        copies = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
        for copy in copies:
            copy.grad = torch.full_like(copy, 0.01)
        optimizer = make_adam(copies, way)
        times = []
        for _ in range(6):
            start = time.perf_counter()
            optimizer.step()
            times.append(time.perf_counter() - start)
        seconds[way] = statistics.median(times[2:])
    return min(seconds, key=seconds.get), seconds


def make_adam(parameters, way):
    choice = {"fused": {"fused": True}, "foreach": {"foreach": True}, "plain": {"foreach": False, "fused": False}}
    return torch.optim.Adam(parameters, lr=1e-4, **choice[way])


def probe(_):
    way, seconds = best_adam(list(WNet().parameters()))
    return {"torch": torch.__version__, "python": sys.version.split()[0],
            "onednn": torch.backends.mkldnn.is_available(), "capability": torch.backends.cpu.get_cpu_capability(),
            "compiler": shutil.which("g++"), "adam": way, "adam_seconds": seconds}


def check(options):
    """One training pass over the same weights and pictures, here and there: loss, gradients, outputs."""
    torch.manual_seed(1)
    network = WNet(width=8, levels=8, dropout=0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(".running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.dtype == torch.float32 and tensor.ndim == 1:
                tensor.add_(torch.rand_like(tensor) * 0.2 - 0.1)
    left, right = torch.rand(2, 3, 32, 64), torch.rand(2, 3, 32, 64)

    def path(name):
        return os.path.join(options.folder, name)

    state = {name: tensor for name, tensor in network.state_dict().items() if tensor.dtype == torch.float32}
    write_safetensors(path("weights.safetensors"), state)
    write_safetensors(path("batch.safetensors"), {"input.left": left, "input.right": right})
    dumps = {}
    for mode in ("train", "eval"):
        command = [options.vergence, "debug", "step", "--set", "width=8", "--set", "levels=8", "--set", "dropout=0",
                   "--weights", path("weights.safetensors"), "--batch", path("batch.safetensors"),
                   "--mode", mode, "--dump", path(mode + ".safetensors")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        dumps.update(read_safetensors(path(mode + ".safetensors")))

    def difference(ours, theirs):
        """Norm of the difference over the norm; ours may be one tensor or several."""
        squares = [(numpy.square(a - b).sum(), numpy.square(b).sum()) for a, b in zip(ours, theirs)]
        return float(sum(s[0] for s in squares) ** 0.5 / sum(s[1] for s in squares) ** 0.5)

    result = {"vergence_loss": float(dumps["train.loss"])}
    for layout in ("contiguous", "channels-last") + (("compiled",) if options.compile else ()):
        clone = WNet(width=8, levels=8, dropout=0)
        clone.load_state_dict(network.state_dict())
        pictures = (left, right)
        if layout == "channels-last":
            clone = clone.to(memory_format=torch.channels_last)
            pictures = [view.to(memory_format=torch.channels_last) for view in pictures]
        clone.eval()
        with torch.inference_mode():
            outputs = clone(*pictures)
        names = ("disparity.left", "disparity.right", "right_hat", "left_hat")
        found = [dumps["eval." + name].reshape(tuple(value.shape)) for name, value in zip(names, outputs)]
        clone.train()
        model = Loss(clone)
        if layout == "compiled":
            model = torch.compile(model)
        loss = model(*pictures)
        loss.backward()
        gradients = dict(clone.named_parameters())
        result[layout] = {
            "loss": loss.item(),
            "loss_difference": abs(loss.item() - result["vergence_loss"]) / abs(loss.item()),
            "gradient_difference": difference(
                [dumps["grad." + name] for name in gradients],
                [gradients[name].grad.numpy().astype("f8") for name in gradients]),
            "output_difference": difference(found, [value.numpy().astype("f8") for value in outputs]),
        }
    return result


def prepare(options):
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(options.rank)
    height, width = map(int, options.size.split("x"))
    network = WNet()
    pictures = [torch.rand(options.batch, 3, height, width) for _ in range(2)]
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
        pictures = [view.to(memory_format=torch.channels_last) for view in pictures]
    return network, pictures


def measured(options, step):
    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    for _ in range(options.warm_up - 1):
        step()
    times = []
    for _ in range(options.steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {"median_seconds": statistics.median(times), "seconds": times, "first_seconds": first,
            "peak_bytes": peak_bytes()}


def train(options):
    network, pictures = prepare(options)
    model = Loss(network)
    if options.ranks > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{options.port}", rank=options.rank, world_size=options.ranks)
        # Without exchange of running statistics at every step: the fastest that is right.
        model = torch.nn.parallel.DistributedDataParallel(
            model, broadcast_buffers=False, gradient_as_bucket_view=True, static_graph=not options.compile)
    if options.compile:
        model = torch.compile(model)
    optimizer = make_adam(list(network.parameters()), options.adam)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            loss = model(*pictures)
        loss.backward()
        optimizer.step()
        return loss.item()

    result = measured(options, step)
    if options.ranks > 1:
        torch.distributed.destroy_process_group()
    return result


def infer(options):
    network, pictures = prepare(options)
    network.eval()
    if options.compile:
        # Weights are constants: normalisation is folded into convolutions, weights are packed once.
        torch._inductor.config.freezing = True
    model = torch.compile(network) if options.compile else network

    def step():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            model(*pictures)

    return measured(options, step)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("probe", help="versions, and the fastest optimizer").set_defaults(run=probe)
    checking = commands.add_parser("check", help="compare one small step with Vergence's")
    checking.add_argument("--vergence", required=True)
    checking.add_argument("--folder", required=True)
    checking.add_argument("--compile", action="store_true", help="check the compiled step too")
    checking.set_defaults(run=check)
    for name, run in (("train", train), ("infer", infer)):
        command = commands.add_parser(name, help=f"time of one step of {name}")
        command.add_argument("--batch", type=int, default=6)
        command.add_argument("--size", default="192x336")
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--warm-up", type=int, default=2)
        command.add_argument("--steps", type=int, default=3)
        command.add_argument("--adam", default="fused", choices=("fused", "foreach", "plain"))
        command.add_argument("--rank", type=int, default=0)
        command.add_argument("--ranks", type=int, default=1)
        command.add_argument("--port", type=int, default=29500)
        for flag in ("--channels-last", "--compile", "--bf16"):
            command.add_argument(flag, action="store_true")
        command.set_defaults(run=run)
    options = parser.parse_args()
    print(json.dumps(options.run(options)))


if __name__ == "__main__":
    main()
