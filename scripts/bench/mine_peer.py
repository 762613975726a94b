#!/usr/bin/env python3
"""What mining costs in Python: the neighbour of `cargo run -p magiclens-mine --example speed`.

Reads one WARC.gz on one core with the libraries that Python pipelines use, and prints one JSON line for a stage:

    warc     records and their bodies                          warcio
    html     title, pictures, alt texts, captions of pages     selectolax (its faster parser, Lexbor)
    decode   picture files to RGB                              Pillow
    hash     content hash and 16 x 16 difference hash          hashlib (SHA-256), imagehash
    chain    all of it, in one pass over the file

Only the work of the stage is counted, in seconds of this process's CPU time, so that other programs on the machine matter little.

    python scripts/bench/mine_peer.py measure FILE.warc.gz STAGE
    python scripts/bench/mine_peer.py table RESULTS.jsonl        # the best round of each, as a table

Needs warcio, selectolax, pillow and imagehash.
"""

import argparse
import collections
import contextlib
import hashlib
import io
import json
import time
import warnings
from urllib.parse import urljoin

STAGES = ("warc", "html", "decode", "hash", "chain")
HASH_SIDE = 16
LAZY = ("data-src", "data-original", "data-lazy-src")


class Clock:
    """CPU seconds of the parts that are counted."""

    def __init__(self):
        self.seconds = 0.0

    def __enter__(self):
        self.start = time.process_time()

    def __exit__(self, *_):
        self.seconds += time.process_time() - self.start


def responses(path):
    """(address, content type, body) of each response."""
    from warcio.archiveiterator import ArchiveIterator

    with open(path, "rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type == "response" and record.http_headers is not None:
                content_type = record.http_headers.get_header("Content-Type") or ""
                yield record.rec_headers.get_header("WARC-Target-URI"), content_type, record.content_stream().read()


def attribute(node, name):
    return node.attributes.get(name) or ""


def best_source(image):
    """The largest of `srcset`, else a lazy-load attribute, else `src`."""
    candidates = []
    for candidate in attribute(image, "srcset").split(","):
        address, _, size = candidate.strip().partition(" ")
        if address:
            try:
                candidates.append((float(size.strip()[:-1] or 1), address))
            except ValueError:
                candidates.append((1.0, address))
    if candidates:
        return max(candidates)[1]
    return next((attribute(image, name) for name in LAZY if attribute(image, name)), attribute(image, "src"))


def caption_of(image):
    node = image.parent
    while node is not None and node.tag not in ("figure", "body"):
        node = node.parent
    caption = node.css_first("figcaption") if node is not None and node.tag == "figure" else None
    return caption.text(strip=True) if caption else ""


def parse(url, html):
    """The title and heading of a page, and what it says about its pictures."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    title, heading = tree.css_first("title"), tree.css_first("h1")
    pictures = [
        {
            "url": urljoin(url, best_source(image)),
            "alt": attribute(image, "alt"),
            "title": attribute(image, "title"),
            "width": attribute(image, "width"),
            "height": attribute(image, "height"),
            "caption": caption_of(image),
        }
        for image in tree.css("img")
    ]
    return title.text() if title else "", heading.text() if heading else "", pictures


def decode(body):
    """RGB pixels, or None for what is no picture."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(body)) as picture:
            return picture.convert("RGB")
    except Exception:  # Pillow raises many kinds for hostile files.
        return None


def fingerprint(body, picture):
    import imagehash

    return hashlib.sha256(body).hexdigest(), imagehash.dhash(picture, hash_size=HASH_SIDE)


def measure(path, stage):
    clock = Clock()
    counts = collections.Counter()
    # Loading libraries is no part of any stage.
    parse("http://warm.up/", "<img src=a>")
    from PIL import Image

    fingerprint(b"", Image.new("RGB", (32, 32)))
    list(zip(range(1), responses(path)))
    whole = clock if stage in ("warc", "chain") else contextlib.nullcontext()
    part = contextlib.nullcontext() if stage == "chain" else clock
    with whole:
        measure_pass(path, stage, counts, part)
    return {"side": "python", "stage": stage, "cpu_s": round(clock.seconds, 4), **counts}


def measure_pass(path, stage, counts, clock):
    files = {}
    for url, content_type, body in responses(path):
        counts["records"] += 1
        counts["bytes"] += len(body)
        if content_type.startswith("text/html") and stage in ("html", "chain"):
            with clock:
                _, _, pictures = parse(url, body)
            counts["pages"] += 1
            counts["page_bytes"] += len(body)
            counts["found"] += len(pictures)
        if content_type.startswith("image/") and stage in ("decode", "hash", "chain"):
            with contextlib.nullcontext() if stage == "hash" else clock:
                picture = decode(body)
            if picture is None:
                counts["refused"] += 1
                continue
            counts["pictures"] += 1
            counts["pixels"] += picture.width * picture.height
            if stage in ("hash", "chain"):
                with clock:
                    files[url] = fingerprint(body, picture)


def rates(result):
    """The rates of a result by unit, in the order of the table."""
    seconds = result["cpu_s"]
    units = {
        "warc": {"MB/s": result.get("bytes", 0) / 1e6, "records/s": result.get("records", 0)},
        "html": {"MB/s": result.get("page_bytes", 0) / 1e6, "pages/s": result.get("pages", 0)},
        "decode": {"pictures/s": result.get("pictures", 0), "megapixels/s": result.get("pixels", 0) / 1e6},
        "hash": {"pictures/s": result.get("pictures", 0)},
        "chain": {"pages/s": result.get("pages", 0), "pictures/s": result.get("pictures", 0)},
    }
    return {unit: amount / seconds for unit, amount in units[result["stage"]].items()}


def print_table(path):
    best = {}
    with open(path) as lines:
        for line in lines:
            result = json.loads(line)
            key = result["stage"], result["side"]
            if key not in best or result["cpu_s"] < best[key]["cpu_s"]:
                best[key] = result
    print("| stage | unit, one core | magiclens | python | ratio |")
    print("|---|---|---:|---:|---:|")
    for stage in STAGES:
        ours, theirs = rates(best[stage, "magiclens"]), rates(best[stage, "python"])
        for unit, rate in ours.items():
            print(f"| {stage} | {unit} | {rate:,.1f} | {theirs[unit]:,.1f} | {rate / theirs[unit]:.1f} |")
    for stage in STAGES:
        for count in ("records", "pages", "pictures"):
            ours, theirs = best[stage, "magiclens"].get(count, 0), best[stage, "python"].get(count, 0)
            if ours != theirs:
                print(f"{stage}: {ours} {count} here, {theirs} in Python")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("file")
    one.add_argument("stage", choices=STAGES)
    commands.add_parser("table").add_argument("results")
    arguments = parser.parse_args()
    # Pillow warns of large pictures; nobody reads it here.
    warnings.simplefilter("ignore")
    if arguments.command == "table":
        print_table(arguments.results)
    else:
        print(json.dumps(measure(arguments.file, arguments.stage)))


if __name__ == "__main__":
    main()
