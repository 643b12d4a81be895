"""Times a transformer's blocks in torch on the CPU, for one of Facet's benchmark cases.

Reads {d_model, n_layers, n_heads, n_kv_heads, d_head, d_mlp, gated, rms, n_sequences, length, repetitions} as JSON from
the standard input and prints {torch, threads, tokens_per_second: [...]}. Weights are random; float32.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

case = json.load(sys.stdin)
d_model, d_head, d_mlp = case["d_model"], case["d_head"], case["d_mlp"]
heads, kv_heads = case["n_heads"], case["n_kv_heads"]


def matrix(outputs, inputs):
    return torch.randn(outputs, inputs) * inputs**-0.5


layers = [
    {
        "q": matrix(heads * d_head, d_model),
        "k": matrix(kv_heads * d_head, d_model),
        "v": matrix(kv_heads * d_head, d_model),
        "o": matrix(d_model, heads * d_head),
        "gate": matrix(d_mlp, d_model) if case["gated"] else None,
        "in": matrix(d_mlp, d_model),
        "out": matrix(d_model, d_mlp),
    }
    for _ in range(case["n_layers"])
]
ones, zeros = torch.ones(d_model), torch.zeros(d_model)


def norm(x):
    if case["rms"]:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * ones
    return F.layer_norm(x, (d_model,), ones, zeros)


def split(x, count):
    return x.view(x.shape[0], x.shape[1], count, d_head).transpose(1, 2)


def forward(x):
    for layer in layers:
        y = norm(x)
        q, k, v = split(F.linear(y, layer["q"]), heads), split(F.linear(y, layer["k"]), kv_heads), split(F.linear(y, layer["v"]), kv_heads)
        k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(z.transpose(1, 2).flatten(2), layer["o"])
        y = norm(x)
        up = F.linear(y, layer["in"])
        hidden = F.gelu(up, approximate="tanh") if layer["gate"] is None else F.silu(F.linear(y, layer["gate"])) * up
        x = x + F.linear(hidden, layer["out"])
    return x


rates = []
with torch.inference_mode():
    x = torch.randn(case["n_sequences"], case["length"], d_model)
    forward(x)
    for _ in range(case["repetitions"]):
        start = time.perf_counter()
        forward(x)
        rates.append(x.shape[0] * x.shape[1] / (time.perf_counter() - start))
print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "tokens_per_second": rates}))
