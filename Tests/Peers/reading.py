"""What Tests/Peers/readers runs in its environment: one program of others, on files that Vergence wrote.

reading.py PART ARGUMENTS…; a part prints what it found, and ends with 65 if a file is not read as it should be.
"""
import csv
import glob
import io
import json
import os
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
import numpy


def expect(condition, text):
    if not condition:
        print(f"readers: {text}", file=sys.stderr)
        raise SystemExit(65)


def session_of(path):
    """The file, checked by ONNX with its shapes inferred, and opened by ONNX Runtime."""
    import onnx
    import onnxruntime
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for declared, found in zip(model.graph.output, inferred.graph.output):
        expect(declared.type == found.type, f"{path}: {declared.name} is declared as another shape than is inferred")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return model, onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def difference(found, expected):
    """Largest difference relative to max(1, |value|); NaN on both sides counts as equal."""
    known = ~(numpy.isnan(found) & numpy.isnan(expected))
    found, expected = found[known], expected[known]
    return float((numpy.abs(found - expected) / numpy.maximum(1, numpy.abs(expected))).max()) if found.size else 0.0


def onnx_case(path, limit):
    """One file on the inputs of the tensors beside it; the largest difference of each output."""
    from safetensors.numpy import load_file
    tensors = load_file(path[:-len(".onnx")] + ".safetensors")
    _, session = session_of(path)
    names = [output.name for output in session.get_outputs()]
    results = session.run(names, {name[6:]: value for name, value in tensors.items() if name.startswith("input.")})
    worst = {}
    for name, found in zip(names, results):
        expected = tensors["output." + name]
        expect(found.shape == expected.shape, f"{path}: {name} is {found.shape}, not {expected.shape}")
        worst[name] = difference(found, expected)
        expect(worst[name] <= limit, f"{path}: {name} differs by {worst[name]:.3g}")
    return worst


def onnx_cases(folder):
    """Every FILE.onnx of a folder on the inputs of FILE.safetensors, whose outputs it has to give."""
    worst, failed = {"operations": 0.0, "networks": 0.0}, 0
    paths = sorted(glob.glob(os.path.join(folder, "*.onnx")))
    for path in paths:
        name = os.path.basename(path)
        kind = "operations" if name.startswith("operation_") else "networks"
        try:
            found = onnx_case(path, 1e-5 if kind == "operations" else 1e-4)
        except (Exception, SystemExit) as problem:
            print(f"readers: {name}: {problem}", file=sys.stderr)
            failed += 1
            continue
        worst[kind] = max(worst[kind], *found.values())
        if kind == "networks":
            print(f"{name}: " + ", ".join(f"{output} {value:.2g}" for output, value in found.items()))
    expect(not failed, f"{failed} of {len(paths)} files are not read as they should be")
    print(f"{len(paths)} files agree: operations to {worst['operations']:.2g}, networks to {worst['networks']:.2g}")


def pictures(paths, height, width):
    """Left and right views [2, 3, H, W] in 0…1: two files and them shifted, or smooth noise."""
    if paths:
        from PIL import Image
        views = [numpy.asarray(Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BOX), "f4") / 255
                 for path in paths]
        views = [numpy.stack([view, numpy.roll(view, 5, axis=1)]).transpose(0, 3, 1, 2) for view in views]
    else:
        noise = numpy.random.default_rng(1).random((2, 3, height + 8, width + 12), "f4")
        smooth = sum(noise[:, :, y:y + height, x:x + width + 4] for y in range(9) for x in range(9)) / 81
        smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
        views = [smooth[:, :, :, 4:], smooth[:, :, :, 1:-3]]
    return {name: numpy.ascontiguousarray(view, "f4") for name, view in zip(("left", "right"), views)}


def onnx_model(vergence, checkpoint, folder, *views):
    """A W-net exported with all outputs, in ONNX Runtime and in `vergence debug step`: a run's checkpoint, on two pictures
    if they are given."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
    with safe_open(checkpoint, framework="numpy") as file:
        about = file.metadata()
    path, batch, dump = (os.path.join(folder, name) for name in ("all.onnx", "batch.safetensors", "dump.safetensors"))
    settings = [word for setting in about["settings"].split() for word in ("--set", setting)]
    inputs = pictures(views, int(about["height"]), int(about["width"]))
    save_file({"input." + name: view for name, view in inputs.items()}, batch)
    for command in (["export", "--checkpoint", checkpoint, "--outputs", "all", "--output", path],
                    ["debug", "step", *settings, "--weights", checkpoint, "--batch", batch, "--mode", "eval",
                     "--dump", dump]):
        done = subprocess.run([vergence, *command], capture_output=True, text=True)
        expect(done.returncode == 0, f"vergence {command[0]}: {done.stderr}")
    ours = load_file(dump)
    model, session = session_of(path)
    metadata = session.get_modelmeta().custom_metadata_map
    for key in ("model", "settings", "height", "width", "levels", "normalisation", "output.disparity_left"):
        expect(key in metadata, f"{path}: no {key} in the metadata")
    worst, equal, pixels = 0.0, 0, 0
    # Named by the eye whose pixels they are; inside by the view that they are computed from.
    pairs = {"disparity_right": "disparity.left", "disparity_left": "disparity.right", "prob_right": "prob.left",
             "prob_left": "prob.right", "right_rebuilt": "right_hat", "left_rebuilt": "left_hat"}
    results = dict(zip(pairs, session.run(list(pairs), inputs)))
    for name, own in pairs.items():
        expected = ours["eval." + own].reshape(results[name].shape)
        worst = max(worst, difference(results[name], expected))
        if name.startswith("prob"):
            same = results[name].argmax(1) == expected.argmax(1)
            equal, pixels = equal + int(same.sum()), pixels + same.size
    expect(worst <= 1e-4, f"{path}: differs by {worst:.3g}")
    expect(equal >= 0.999 * pixels, f"{path}: {equal} of {pixels} pixels have the same most probable level")
    levels = numpy.array([float(level) for level in metadata["levels"].split()], "f4").reshape(1, -1, 1, 1)
    for eye in ("left", "right"):
        found = (results["prob_" + eye] * levels).sum(1, keepdims=True)
        expect(difference(found, results["disparity_" + eye]) < 1e-3, f"{path}: levels are not those of disparity_{eye}")
    # A batch of one gives what it gives among others.
    alone = session.run(["disparity_left"], {name: value[:1] for name, value in inputs.items()})[0]
    expect(difference(alone, results["disparity_left"][:1]) <= 1e-5, f"{path}: a batch of one differs")
    print(f"{path}: differs by at most {worst:.2g}; most probable level equal on {100 * equal / pixels:.3f} % of pixels; "
          f"{len(model.graph.node)} nodes")


def safetensors_files(*paths):
    """The library's tensors beside those that plain reading of the bytes gives."""
    from safetensors import safe_open
    from safetensors.numpy import load_file
    for path in paths:
        with open(path, "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            data = file.read()
        header.pop("__metadata__", None)
        tensors = load_file(path)
        expect(set(tensors) == set(header), f"{path}: other names")
        for name, entry in header.items():
            kind = {"F32": "<f4", "I64": "<i8", "U8": "u1"}[entry["dtype"]]
            own = numpy.frombuffer(data[slice(*entry["data_offsets"])], kind).reshape(entry["shape"])
            expect(numpy.array_equal(tensors[name], own, equal_nan=kind == "<f4"), f"{path}: {name} differs")
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
        print(f"{path}: {len(tensors)} tensors, {sum(t.size for t in tensors.values())} values, metadata "
              f"{', '.join(sorted(metadata))}")


def tensorboard(run):
    """All records with their checksums, then scalars, pictures and texts as TensorBoard shows them."""
    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.compat.tensorflow_stub import errors, pywrap_tensorflow
    from tensorboard.compat.proto.event_pb2 import Event
    files = glob.glob(os.path.join(run, "events.out.tfevents.*"))
    expect(files, f"{run}: no event file")
    records = 0
    for path in files:
        reader = pywrap_tensorflow.PyRecordReader_New(path)
        while True:
            try:
                reader.GetNext()
            except errors.OutOfRangeError:
                break
            event = Event.FromString(reader.record())
            expect(records > 0 or event.file_version == "brain.Event:2", f"{path}: no version at its start")
            records += 1
    events = EventAccumulator(run, size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    with open(os.path.join(run, "steps.csv"), newline="") as file:
        steps = list(csv.DictReader(file))
    losses = {event.step: event.value for event in events.Scalars("train/loss")}
    expect(sorted(losses) == [int(row["step"]) for row in steps], f"{run}: other steps than steps.csv")
    for row in steps:
        own = float(row["loss"])
        expect(abs(losses[int(row["step"])] - own) <= 1e-6 * abs(own), f"{run}: step {row['step']} has another loss")
    pictures = events.Images("samples")
    for picture in pictures:
        image = Image.open(io.BytesIO(picture.encoded_image_string))
        image.load()
        expect(image.size == (picture.width, picture.height), f"{run}: a sample of another size")
    texts = [tag for tag in events.Tags()["tensors"] if tag.startswith(("configuration", "run"))]
    expect(len(texts) == 2, f"{run}: texts are {texts}")
    configuration = events.Tensors("configuration" if "configuration" in texts else texts[0])[0]
    expect(b"model" in configuration.tensor_proto.string_val[0], f"{run}: no configuration")
    print(f"{run}: {records} records, {len(events.Tags()['scalars'])} scalars over {len(steps)} steps, "
          f"{len(pictures)} pictures, {len(texts)} texts")


def tables(run):
    """The tables of a run as pandas sees them."""
    import pandas
    for name in ("metrics", "steps", "ranks", "lanes"):
        table = pandas.read_csv(os.path.join(run, name + ".csv"))
        expect(len(table) > 0 and table["step"].dtype.kind == "i", f"{run}/{name}.csv: {dict(table.dtypes)}")
        if name in ("metrics", "steps"):
            for column in table:
                expect(table[column].dtype.kind in "if", f"{run}/{name}.csv: {column} is {table[column].dtype}")
            expect(table["step"].is_monotonic_increasing, f"{run}/{name}.csv: steps are out of order")
        print(f"{run}/{name}.csv: {len(table)} rows, {len(table.columns)} columns")


def ffprobe(*paths):
    """Pictures and films that were written, as ffprobe sees them and as ffmpeg decodes them."""
    for path in paths:
        found = subprocess.run(
            ["ffprobe", "-v", "error", "-print_format", "json", "-show_streams", path], capture_output=True, text=True)
        expect(found.returncode == 0 and not found.stderr, f"{path}: {found.stderr}")
        stream = next(s for s in json.loads(found.stdout)["streams"] if s["codec_type"] == "video")
        decoded = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "null", "-"], capture_output=True, text=True)
        expect(decoded.returncode == 0 and not decoded.stderr, f"{path}: {decoded.stderr}")
        print(f"{path}: {stream['codec_name']} {stream['width']}x{stream['height']} {stream['pix_fmt']}")


def chromium(page, browser):
    """A report in a browser without a window: what it complains about, and what its page then holds."""
    shown = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=2000",
         f"--user-data-dir={page}.browser", "--dump-dom", "file://" + os.path.abspath(page)],
        capture_output=True, text=True)
    expect(shown.returncode == 0, f"{page}: {browser} ends with {shown.returncode}")
    complaints = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    expect(not complaints, f"{page}: {complaints}")
    expect("<svg" in shown.stdout and "</html>" in shown.stdout, f"{page}: no charts")
    print(f"{page}: {shown.stdout.count('<svg')} charts, no complaints")


PARTS = {"onnx-cases": onnx_cases, "onnx": onnx_model, "safetensors": safetensors_files, "tensorboard": tensorboard,
         "tables": tables, "ffprobe": ffprobe, "chromium": chromium}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in PARTS:
        print(f"readers: give a part ({', '.join(PARTS)}) and its files", file=sys.stderr)
        raise SystemExit(64)
    PARTS[sys.argv[1]](*sys.argv[2:])
