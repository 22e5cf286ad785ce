"""A program that speaks the protocol: an LSTM of one layer, with what is wrong in it as argument.

It is run by itself and imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import numpy as np

DEFECT = sys.argv[1] if len(sys.argv) > 1 else ""

HELLO = {
    "protocol": 2 if DEFECT == "other version" else 1,
    "kinds": ["LTSM" if DEFECT == "no such kind" else "LSTM"],
    "features": ["initial_state"],
    "dtypes": ["float32", "float64"],
    "name": "speaking_engine",
    "level": "training" if DEFECT == "gradients" else "inference",
}
HERE = "<" if DEFECT != "big-endian" else ">"
FORMATS = {"float32": HERE + "f4", "float64": HERE + "f8", "int64": "<i8", "float16": "<f2"}


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def lstm(parameters: dict[str, Any], x: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    w_ih, w_hh, b_ih, b_hh = parameters.values()
    output = []
    for step in x:
        gates = np.split(step @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=-1)
        i, f, g, o = gates if DEFECT != "gates i, f, o, g" else (*gates[:2], gates[3], gates[2])
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        output.append(h)
    return np.stack(output), h[None], c[None]


def send(fields: dict[str, Any], arrays: dict[str, Any]) -> None:
    listed = [
        {"name": name, "dtype": str(array.dtype), "shape": array.shape}
        for name, array in arrays.items()
    ]
    body = b"".join(a.astype(FORMATS[str(a.dtype)]).tobytes() for a in arrays.values())
    if DEFECT == "bytes too few" and body:
        body = body[: len(body) // 2]
    if DEFECT == "bytes too many" and body:
        body += b"\0" * 3
    line = json.dumps({**fields, "arrays": listed}).encode() + b"\n"
    if DEFECT == "wrong JSON":
        line = line.replace(b'"', b"'")
    if DEFECT == "lists too much" and body:
        line = line.replace(b'"shape": [', b'"shape": [1000000, ')
    if DEFECT == "another id":
        line = line.replace(b'"id": 1', b'"id": 7')
    sys.stdout.buffer.write(line + body)
    sys.stdout.buffer.flush()


def read() -> tuple[dict[str, Any], dict[str, Any]]:
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit()
    fields, arrays = json.loads(line), {}
    for spec in fields.pop("arrays"):
        dtype = np.dtype(FORMATS[spec["dtype"]])
        raw = sys.stdin.buffer.read(int(np.prod(spec["shape"])) * dtype.itemsize)
        array = np.frombuffer(raw, dtype).reshape(spec["shape"])
        arrays[spec["name"]] = array.astype(spec["dtype"])
    return fields, arrays


def call(config: dict[str, Any], parameters: dict[str, Any], arrays: dict[str, Any]) -> Any:
    x = arrays["input"]
    plain = config["num_layers"] == 1 and not config["proj_size"] and config["bias"]
    other = config["bidirectional"] or config["batch_first"] or config["dropout"]
    fits = x.ndim == 3 and x.shape[2] == config["input_size"] and "lengths" not in arrays
    if not plain or other or not fits or x.dtype != next(iter(parameters.values())).dtype:
        raise NotImplementedError("one layer, one direction")
    zeros = np.zeros((x.shape[1], config["hidden_size"]), x.dtype)
    h, c = (arrays[name][0] if name in arrays else zeros for name in ("h_0", "c_0"))
    return dict(zip(("output", "h_n", "c_n"), lstm(parameters, x, h, c), strict=True))


def main() -> None:
    layers: dict[int, Any] = {}
    if DEFECT == "exits at once":
        print("no licence", file=sys.stderr)
        sys.exit(3)
    if DEFECT == "prints at the start":
        print("loading…", flush=True)
    if DEFECT == "without end":
        while True:
            os.write(1, b"x" * 65536)
    if DEFECT == "noisy":
        sys.stderr.write("noise\n" * 100_000)
    while True:
        fields, arrays = read()
        what, id = fields["do"], {"id": fields["id"]}
        if what == "hello":
            send({**id, **HELLO}, {})
        elif what == "build":
            layers[fields["layer"]] = (fields["config"], arrays)
            send(id, {})
        elif what == "call":
            if DEFECT == "hangs":
                time.sleep(600)
            if DEFECT == "eats memory":
                eaten = [bytearray(2**24) for _ in range(48)]
                for piece in eaten:
                    piece[::4096] = b"x" * 4096
                time.sleep(600)
            if DEFECT == "crashes":
                os.kill(os.getpid(), signal.SIGSEGV)
            if DEFECT == "prints":
                print("h is", 3.5, flush=True)
            if DEFECT == "fails":
                send({**id, "error": "division by zero"}, {})
                continue
            try:
                config, parameters = layers[fields["layer"]]
                results = call(config, parameters, arrays)
            except NotImplementedError as refusal:
                send({**id, "refused": str(refusal)}, {})
                continue
            if DEFECT == "no c_n":
                del results["c_n"]
            send(id, results)
        elif what == "back":
            # Of the right shapes; their values are another matter.
            _, parameters = layers[fields["layer"]]
            own = {name: arrays[name] for name in arrays if name in ("input", "h_0", "c_0")}
            send(id, own | parameters)
        elif what == "free":
            del layers[fields["layer"]]
            send(id, {})


main()
