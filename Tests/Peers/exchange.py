"""Weights from PyTorch to Vergence and back, through the safetensors library: the same outputs, names and shapes.

exchange.py VERGENCE FOLDER [NETWORK…]; needs torch, safetensors. Networks that VERGENCE does not know are left out.
"""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
import torch
from safetensors.torch import load_file, save_file

from zoo_torch import PEERS


def expect(condition, text):
    if not condition:
        print(f"exchange: {text}", file=sys.stderr)
        raise SystemExit(65)


def randomised(module):
    """Weights as PyTorch draws them; normalisations that do something."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith(".running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.dtype == torch.float32 and tensor.ndim == 1:
                tensor.add_(torch.rand_like(tensor) * 0.2 - 0.1)
    return module.eval()


def exchange(vergence, folder, name, peer):
    def path(suffix):
        return os.path.join(folder, f"{name}.{suffix}.safetensors")

    def run(*arguments):
        return subprocess.run([vergence, *arguments], capture_output=True, text=True)

    torch.manual_seed(3)
    module = randomised(peer.module())
    save_file(module.state_dict(), path("torch"))
    pictures = {field: torch.rand(2, 3, *peer.size) * peer.scale for field in peer.fields}
    save_file({"input." + field: picture for field, picture in pictures.items()}, path("batch"))
    settings = [word for setting in peer.settings for word in ("--set", setting)]
    step = run("debug", "step", "--model", name, *settings, "--weights", path("torch"), "--batch", path("batch"),
               "--mode", "eval", "--dump", path("dump"))
    if step.returncode == 64 and "unknown model" in step.stderr:
        return None
    expect(step.returncode == 0, f"{name}: {step.stderr}")
    dump = load_file(path("dump"))
    with torch.inference_mode():
        expected = module(*pictures.values())
    worst = 0.0
    for output, value in expected.items():
        own = dump["eval." + output].reshape(value.shape)
        worst = max(worst, float((own - value).abs().max() / value.abs().max().clamp_min(1)))
    expect(worst <= 1e-4, f"{name}: outputs differ by {worst:.3g}")

    exported = run("export", "--checkpoint", path("torch"), "--model", name, *settings, "--output", path("back"))
    expect(exported.returncode == 0, f"{name}: {exported.stderr}")
    back = load_file(path("back"))
    peer.module().load_state_dict(back, strict=True)
    for tensor, value in module.state_dict().items():
        # Counters of batches are written as zeros.
        expect(torch.equal(back[tensor], value) or tensor.endswith("num_batches_tracked"), f"{name}: {tensor} differs")
    return worst, len(back)


def main():
    if len(sys.argv) < 3:
        print("exchange: give the program vergence and a folder to work in", file=sys.stderr)
        raise SystemExit(64)
    vergence, folder, names = sys.argv[1], sys.argv[2], sys.argv[3:] or list(PEERS)
    count = 0
    for name in names:
        found = exchange(vergence, folder, name, PEERS[name])
        if found is None:
            print(f"{name}: not known to {vergence}, left out")
            continue
        count += 1
        print(f"{name}: {found[1]} tensors there and back with the same bits, outputs differ by {found[0]:.2g}")
    print(f"{count} networks agree")


if __name__ == "__main__":
    main()
