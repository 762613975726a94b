#!/usr/bin/env python3
"""The Python side of scripts/bench/cpu: CLIP's towers by torch, ONNX Runtime and JAX, from a folder of transformers.

    prepare FOLDER                         writes the towers as ONNX, in f32 and with weights and activations of 8 bits
    prepare-jax FOLDER                     writes the weights as Flax keeps them, into FOLDER/flax
    measure SYSTEM FOLDER PRECISION BATCH  one line: images a second, texts a second, milliseconds of one query, seconds to load, peak
                                           memory in MiB
    table FILE                             medians, and ratios of the rounds, of the lines `SIZE THREADS BATCH SYSTEM PRECISION` and
                                           what `measure` said

Threads follow the cores that the process may use (taskset).
"""

import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

TEXTS, ROUNDS = 64, 3
# The peers that each precision of ours stands beside.
PEERS = {
    "f32": ["torch f32", "onnxruntime f32", "jax f32", "rten f32"],
    "bf16": ["torch bf16", "onnxruntime f32"],
    "int8": ["onnxruntime int8", "rten int8", "onnxruntime f32"],
}


def ids(count):
    # The texts of the Rust side are ten tokens long; all peers get rows cut to that length, as a careful user would.
    rows = np.full((count, 12), 320, dtype=np.int64)
    rows[:, 0], rows[:, -1] = 49406, 49407
    return rows


def pixels(count):
    return np.random.default_rng(1).standard_normal((count, 3, 224, 224), dtype=np.float32)


def towers(folder, dtype="float32"):
    import torch
    from transformers import CLIPModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = CLIPModel.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()

    class Image(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tower, self.projection = model.vision_model, model.visual_projection

        def forward(self, values):
            return self.projection(self.tower(pixel_values=values).pooler_output)

    class Text(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tower, self.projection = model.text_model, model.text_projection

        def forward(self, values):
            return self.projection(self.tower(input_ids=values).pooler_output)

    return Image().eval(), Text().eval()


def prepare(folder):
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for name, tower, example, axes in zip(
        ["image", "text"],
        towers(folder),
        [torch.from_numpy(pixels(2)), torch.from_numpy(ids(2))],
        [{0: "batch"}, {0: "batch", 1: "length"}],
    ):
        path = folder / f"{name}.onnx"
        with torch.no_grad():
            torch.onnx.export(
                tower, (example,), path, input_names=["values"], output_names=["out"], dynamic_axes={"values": axes}, dynamo=False
            )
        quantize_dynamic(path, folder / f"{name}-int8.onnx", weight_type=QuantType.QInt8)


def prepare_jax(folder):
    from transformers import FlaxCLIPModel

    FlaxCLIPModel.from_pretrained(folder).save_pretrained(folder / "flax")


def torch_runners(folder, precision, threads):
    import torch

    torch.set_num_threads(threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]

    def runner(tower):
        def run(values):
            with torch.inference_mode():
                values = torch.from_numpy(values)
                return tower(values.to(dtype) if values.is_floating_point() else values)

        return run

    return [runner(tower) for tower in towers(folder, dtype)]


def onnxruntime_runners(folder, precision, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    suffix = "-int8" if precision == "int8" else ""
    sessions = [
        onnxruntime.InferenceSession(folder / f"{name}{suffix}.onnx", options, providers=["CPUExecutionProvider"])
        for name in ["image", "text"]
    ]
    return [lambda values, session=session: session.run(None, {"values": values}) for session in sessions]


def jax_runners(folder, _precision, _threads):
    import jax
    from transformers import FlaxCLIPModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    # Without `_do_init` no random weights are made first.
    model, params = FlaxCLIPModel.from_pretrained(folder / "flax", _do_init=False)
    params = jax.block_until_ready(jax.device_put(params))

    def runner(features):
        compiled = jax.jit(lambda params, values: features(values, params=params))
        return lambda values: compiled(params, values).block_until_ready()

    return [runner(model.get_image_features), runner(model.get_text_features)]


RUNNERS = {"torch": torch_runners, "onnxruntime": onnxruntime_runners, "jax": jax_runners}


def best(run):
    run()  # warms up; JAX compiles here
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def load_s():
    """Seconds since the process started; the kernel counts both times in hundredths."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return float(Path("/proc/uptime").read_text().split()[0]) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def peak_mib():
    """The most memory the process has had so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def measure(system, folder, precision, batch):
    image, text = RUNNERS[system](folder, precision, len(os.sched_getaffinity(0)))
    load = load_s()
    images, texts = pixels(batch), ids(TEXTS)
    one_image, one_text = images[:1].copy(), texts[:1].copy()
    seconds = [best(lambda: image(images)), best(lambda: text(texts)), best(lambda: (image(one_image), text(one_text)))]
    print(f"{batch / seconds[0]:.3f} {TEXTS / seconds[1]:.3f} {1e3 * seconds[2]:.3f} {load:.2f} {peak_mib():.0f}")


def with_spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def table(file):
    """Prints a table of speeds and one of ratios for each size, number of threads and batch."""
    settings = defaultdict(lambda: defaultdict(list))
    for line in Path(file).read_text().splitlines():
        size, threads, batch, system, precision, *numbers = line.split()
        settings[size, threads, batch][f"{system} {precision}"].append([float(number) for number in numbers])
    for (size, threads, batch), systems in settings.items():
        print(f"\n{size}, threads: {threads}, images at once: {batch}")
        print_speeds(systems)
        print_ratios(systems)


def print_speeds(systems):
    print(f"{'median':18} {'images/s (least..most)':>26} {'texts/s':>9} {'query, ms':>10} {'load, s':>8} {'peak, MiB':>10}")
    for system, rounds in systems.items():
        images, *others = zip(*rounds)
        texts, query, load, peak = map(statistics.median, others)
        print(f"{system:18} {with_spread(images):>26} {texts:9.1f} {query:10.1f} {load:8.2f} {peak:10.0f}")


def print_ratios(systems):
    print(f"{'times as fast as':26} {'images':>20} {'texts':>20} {'one query':>20}")
    for precision, peers in PEERS.items():
        for peer in peers:
            # Each round against the same round of the peer: what slows a machine for a while slows both.
            ratios = [
                (ours[0] / theirs[0], ours[1] / theirs[1], theirs[2] / ours[2])
                for ours, theirs in zip(systems[f"magiclens {precision}"], systems[peer])
            ]
            if ratios:
                print(f"{precision:4} over {peer:16}", *(f"{with_spread(column):>20}" for column in zip(*ratios)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", folder]:
            prepare(Path(folder))
        case ["prepare-jax", folder]:
            prepare_jax(Path(folder))
        case ["measure", system, folder, precision, batch]:
            measure(system, Path(folder), precision, int(batch))
        case ["table", file]:
            table(file)
        case _:
            sys.exit(__doc__)
