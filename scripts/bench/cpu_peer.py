#!/usr/bin/env python3
"""The Python side of scripts/bench/cpu: CLIP's towers by torch and by ONNX Runtime, from a folder of transformers.

    prepare FOLDER                                 writes the towers as ONNX, in f32 and with weights and activations of 8 bits
    measure FOLDER SYSTEM PRECISION BATCH THREADS  one line: images a second, texts a second, milliseconds of one query
    table FILE                                     medians and ratios of the lines `SIZE SYSTEM PRECISION IMAGES TEXTS QUERY`
"""

import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

TEXTS, TOKENS, ROUNDS = 64, 77, 3


def ids(count):
    # The texts of the Rust side are ten tokens long; both peers get rows cut to that length, as a careful user would.
    rows = np.full((count, 12), 320, dtype=np.int64)
    rows[:, 0], rows[:, -1] = 49406, 49407
    return rows


def pixels(count):
    return np.random.default_rng(1).standard_normal((count, 3, 224, 224), dtype=np.float32)


def towers(folder):
    import torch
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder, attn_implementation="sdpa").eval()

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


def runners(folder, system, precision, threads):
    if system == "torch":
        import torch

        torch.set_num_threads(threads)
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        image, text = (tower.to(kind) for tower in towers(folder))

        def run(tower, values):
            with torch.inference_mode():
                values = torch.from_numpy(values)
                return tower(values.to(kind) if values.is_floating_point() else values)

        return lambda values: run(image, values), lambda values: run(text, values)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    suffix = "-int8" if precision == "int8" else ""
    sessions = [
        onnxruntime.InferenceSession(folder / f"{name}{suffix}.onnx", options, providers=["CPUExecutionProvider"])
        for name in ["image", "text"]
    ]
    return [lambda values, session=session: session.run(None, {"values": values}) for session in sessions]


def best(run):
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def measure(folder, system, precision, batch, threads):
    image, text = runners(folder, system, precision, threads)
    images, texts = pixels(batch), ids(TEXTS)
    image(images), text(texts)
    one_image, one_text = images[:1].copy(), texts[:1].copy()
    image(one_image), text(one_text)
    seconds = [best(lambda: image(images)), best(lambda: text(texts)), best(lambda: (image(one_image), text(one_text)))]
    print(f"{batch / seconds[0]:.3f} {TEXTS / seconds[1]:.3f} {1e3 * seconds[2]:.3f}")


def table(file):
    rows = defaultdict(list)
    for line in Path(file).read_text().splitlines():
        size, system, precision, *numbers = line.split()
        rows[size, system, precision].append([float(number) for number in numbers])
    print("size  system       precision   images/s (least, most)      texts/s   query, ms")
    for (size, system, precision), values in rows.items():
        images = [value[0] for value in values]
        texts, query = (statistics.median(value[at] for value in values) for at in (1, 2))
        spread = f"({min(images):.2f}, {max(images):.2f})"
        print(f"{size:5} {system:12} {precision:9} {statistics.median(images):10.2f} {spread:18} {texts:10.1f} {query:11.1f}")
    median = {key: [statistics.median(value[at] for value in values) for at in range(3)] for key, values in rows.items()}
    for size in sorted({key[0] for key in rows}):
        for precision, peers in [
            ("f32", [("torch", "f32"), ("onnxruntime", "f32")]),
            ("bf16", [("torch", "bf16")]),
            ("int8", [("onnxruntime", "int8")]),
        ]:
            ours = median[size, "magiclens", precision]
            for peer in peers:
                theirs = median[(size, *peer)]
                print(
                    f"{size} {precision} over {' '.join(peer)}: images {ours[0] / theirs[0]:.2f}, texts {ours[1] / theirs[1]:.2f}, "
                    f"one query {theirs[2] / ours[2]:.2f}"
                )
        queries = [f"{precision} {median[size, 'onnxruntime', 'f32'][2] / median[size, 'magiclens', precision][2]:.2f}" for precision in ("f32", "bf16", "int8")]
        print(f"{size} one query, over onnxruntime f32: {', '.join(queries)}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", folder]:
            prepare(Path(folder))
        case ["measure", folder, system, precision, batch, threads]:
            measure(Path(folder), system, precision, int(batch), int(threads))
        case ["table", file]:
            table(file)
        case _:
            sys.exit(__doc__)
