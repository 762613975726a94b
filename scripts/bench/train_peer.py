#!/usr/bin/env python3
"""The torch side of scripts/bench/train: a step of the same training, written as one would write it, the whole batch at once, in f32.

    measure FOLDER BATCH STEPS  one line: triplets a second (the median of the steps but the first) and peak memory in MiB
    table FILE                  medians, and ratios of the rounds, of the lines `SIZE BATCH SYSTEM` and what `measure` said

Threads follow the cores that the process may use (taskset).
"""

import math
import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

LAYERS, CAP, TRIPLETS = 4, 50.0, 2048
HEADS = {"base": 8, "small": 4}
NOISE, CAPTION_WEIGHT = 0.5, 0.2


def torch():
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch


def build(folder):
    """The head as modules of torch, with the weights of the folder."""
    th = torch()
    from safetensors.torch import load_file
    from torch import nn
    from torch.nn import functional as F

    heads = HEADS[folder.name]
    weights = load_file(folder / "head.safetensors")
    dim = weights["fusion.pooler.query"].shape[1]
    inner = weights["fusion.pooler.attention.query.bias"].shape[0]

    class Attention(nn.Module):
        def __init__(self, inner, scaled):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(dim, inner) for _ in range(3))
            self.output = nn.Linear(inner, dim)
            if scaled:
                self.per_dim_scale = nn.Parameter(th.zeros(inner // heads))

        def forward(self, queries, tokens):
            split = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)
            q, k, v = split(self.query(queries)), split(self.key(tokens)), split(self.value(tokens))
            q = q / math.sqrt(q.shape[-1])
            if hasattr(self, "per_dim_scale"):
                q = q * F.softplus(self.per_dim_scale) * math.log2(math.e)
            logits = CAP * th.tanh(q @ k.transpose(2, 3) / CAP)
            return self.output((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention_norm, self.feed_forward_norm = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
            self.attention = Attention(dim, False)
            self.feed_forward_in, self.feed_forward_out = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

        def forward(self, tokens):
            normed = self.attention_norm(tokens)
            tokens = tokens + self.attention(normed, normed)
            return tokens + self.feed_forward_out(F.relu(self.feed_forward_in(self.feed_forward_norm(tokens))))

    class Pooler(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Parameter(th.zeros(1, dim))
            self.attention, self.norm = Attention(inner, True), nn.LayerNorm(dim, 1e-6)

        def forward(self, tokens):
            query = self.query.expand(len(tokens), 1, dim)
            return self.norm(self.attention(query, tokens)).squeeze(1)

    class Fusion(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.pooler = nn.ModuleList(Layer() for _ in range(LAYERS)), Pooler()

    class Projection(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, dim)

        def forward(self, features):
            return self.linear(self.norm(features))

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            for side in ("vision", "text"):
                name = f"{side}.norm.gamma"
                setattr(self, side, Projection(len(weights[name])) if name in weights else nn.Identity())
            self.fusion, self.logit_scale = Fusion(), nn.Parameter(th.zeros(1))

        def forward(self, images, texts):
            tokens = th.stack([self.vision(images), self.text(texts)], 1)
            for layer in self.fusion.layers:
                tokens = layer(tokens)
            return F.normalize(self.fusion.pooler(tokens), dim=-1)

    def named(name, value):
        # Ours keeps linear maps as [inputs, outputs].
        is_map = name.endswith(".weight") and value.ndim == 2
        return name.replace(".gamma", ".weight").replace(".beta", ".bias"), value.T if is_map else value

    head = Head()
    head.load_state_dict(dict(named(name, value) for name, value in weights.items()), strict=True)
    return head


def loss_of(head, images, texts, batch, noise):
    """The loss of the first triplets: each against all targets and all query images."""
    th = torch()
    from torch.nn import functional as F

    noisy = lambda x: x * (1 + noise * math.sqrt(3) * (2 * th.rand_like(x) - 1)) if noise else x
    queries = slice(0, batch)
    targets = slice(TRIPLETS, TRIPLETS + batch)
    empty = texts[:1].expand(2 * batch, -1)
    embedded = head(
        noisy(th.cat([images[queries], images[targets], images[queries]])), th.cat([texts[1 : batch + 1], empty])
    )
    factor = head.logit_scale.clamp(max=math.log(100)).exp()
    loss = F.cross_entropy(embedded[:batch] @ embedded[batch:].T * factor, th.arange(batch))
    if noise:
        a = F.normalize(head.vision(noisy(images[queries])), dim=-1)
        b = F.normalize(head.text(texts[queries]), dim=-1)
        logits, labels = a @ b.T * factor, th.arange(batch)
        loss = loss + CAPTION_WEIGHT * (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    return loss


def features(folder):
    from safetensors.torch import load_file

    found = load_file(folder / "features.safetensors")
    return found["images"], found["texts"]


def measure(folder, batch, steps):
    th = torch()
    head, (images, texts) = build(folder), features(folder)
    noise = NOISE if folder.name == "small" else 0.0
    optimizer = th.optim.AdamW(head.parameters(), lr=1e-3, eps=1e-8, weight_decay=0.1)
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        loss = loss_of(head, images, texts, batch, noise)
        optimizer.zero_grad()
        loss.backward()
        th.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{batch / statistics.median(times[1:]):.1f} {peak:.0f}")


def with_spread(numbers):
    return f"{statistics.median(numbers):.2f} ({min(numbers):.2f}..{max(numbers):.2f})"


def table(file):
    settings = defaultdict(lambda: defaultdict(list))
    for line in Path(file).read_text().splitlines():
        size, batch, system, *numbers = line.split()
        settings[size, batch][system].append([float(number) for number in numbers])
    print(f"{'head':6} {'batch':>6} {'system':10} {'triplets/s (least..most)':>28} {'peak, MiB':>10}")
    for (size, batch), systems in settings.items():
        for system, rounds in systems.items():
            speeds, peaks = zip(*rounds)
            print(f"{size:6} {batch:>6} {system:10} {with_spread(speeds):>28} {statistics.median(peaks):10.0f}")
        # Each round against the same round of the peer: what slows a machine for a while slows both.
        pairs = zip(systems["magiclens"], systems["torch"])
        print(f"{size:6} {batch:>6} {'ratio':10} {with_spread([ours[0] / theirs[0] for ours, theirs in pairs]):>28}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder, batch, steps]:
            measure(Path(folder), int(batch), int(steps))
        case ["table", file]:
            table(file)
        case _:
            sys.exit(__doc__)
