#!/usr/bin/env python3
"""Photographs of 12 megapixels for scripts/bench/index: small photographs of a package, enlarged and with a camera's noise.

    photographs.py SOURCE FOLDER COUNT   writes COUNT JPEG files, a tenth of them progressive; what is there is kept
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def photograph(source, number):
    size = (4032, 3024) if number % 3 else (3024, 4032)
    image = Image.open(source).convert("RGB").resize(size, Image.BICUBIC)
    rng, (width, height) = np.random.default_rng(number), size
    coarse = rng.integers(-12, 13, (height // 2, width // 2, 1), dtype=np.int16).repeat(2, 0).repeat(2, 1)
    fine = rng.integers(-4, 5, (height, width, 1), dtype=np.int16)
    return Image.fromarray(np.clip(np.asarray(image).astype(np.int16) + coarse + fine, 0, 255).astype(np.uint8))


def main(source, folder, count):
    sources = sorted(path for path in source.rglob("*") if path.suffix in {".jpg", ".jpeg"})
    if not sources:
        sys.exit(f"no JPEG files in `{source}`\nhint: scripts/fetch-packages brings them")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:05}.jpg"
        if not path.exists():
            part = path.with_suffix(".part")
            image = photograph(sources[number % len(sources)], number)
            image.save(part, "JPEG", quality=92, progressive=number % 10 == 9)
            part.rename(path)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
