#!/usr/bin/env python3
"""Pictures a second of torch: decode, resize to a square, EfficientNet-Lite0, pooled features.

The neighbour of `magiclens bench embed`: same folder, same picture size, same number of threads, in one session.
Prints one JSON object. Every picture is decoded in the timed part; one batch before it warms up.

Needs torch, numpy, pillow and efficientnet-lite-pytorch (versions: scripts/fixtures/towers.py).

    python scripts/bench/torch_towers.py --lite0 FILE.pth FOLDER
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}


def load_network(path: Path) -> EfficientNet:
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    return network.eval()


def load_pixels(path: Path, size_px: int) -> np.ndarray:
    with Image.open(path) as picture:
        square = picture.convert("RGB").resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.asarray(square)


def embed(network: EfficientNet, paths: list[Path], size_px: int, pool: ThreadPoolExecutor) -> torch.Tensor:
    pictures = np.stack(list(pool.map(lambda path: load_pixels(path, size_px), paths)))
    pixels = ((torch.from_numpy(pictures).float() - 127.0) / 128.0).permute(0, 3, 1, 2)
    return network.extract_features(pixels.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lite0", type=Path, required=True, help="efficientnet-lite0-57934424.pth")
    parser.add_argument("--size", type=int, default=128, help="side of the square in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--limit", type=int, default=512, help="at most so many pictures, the first by path")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()

    paths = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in SUFFIXES)[: args.limit]
    if not paths:
        parser.error(f"no picture in `{args.folder}`")
    torch.set_num_threads(args.threads)
    network = load_network(args.lite0).to(memory_format=torch.channels_last)
    batches = [paths[start : start + args.batch] for start in range(0, len(paths), args.batch)]
    with torch.inference_mode(), ThreadPoolExecutor(args.threads) as pool:
        embed(network, batches[0], args.size, pool)
        start = time.perf_counter()
        for batch in batches:
            embed(network, batch, args.size, pool)
        elapsed_s = time.perf_counter() - start
    report = {
        "torch": torch.__version__,
        "threads": args.threads,
        "size_px": args.size,
        "pictures": len(paths),
        "elapsed_s": round(elapsed_s, 3),
        "pictures_per_s": round(len(paths) / elapsed_s, 1),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
