// LSTM, GRU and RNN in JavaScript, on Node: the equations, and loops. It speaks the protocol of
// docs/protocol.md. Numbers are doubles here; they are read and written in the layer's dtype.
import { readSync, writeSync } from "node:fs";

const HELLO = {
  protocol: 1,
  name: "javascript_loops",
  kinds: ["RNN", "LSTM", "GRU"],
  features: [
    "bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state",
    "unbatched", "packed", "projection", "relu", "empty_batch",
  ],
  dtypes: ["float32", "float64"],
  level: "inference",
};

const WIDTH = { float16: 2, float32: 4, float64: 8, int64: 8 };
const READ = {
  float16: () => NaN, // refused when a layer is built
  float32: (view, at) => view.getFloat32(at, true),
  float64: (view, at) => view.getFloat64(at, true),
  int64: (view, at) => Number(view.getBigInt64(at, true)),
};
const WRITE = {
  float32: (view, at, number) => view.setFloat32(at, number, true),
  float64: (view, at, number) => view.setFloat64(at, number, true),
};

class Refusal extends Error {}

function refuseUnless(condition, words) {
  if (!condition) throw new Refusal(words);
}

// Standard input, in pieces.
let held = Buffer.alloc(0);

function more() {
  const piece = Buffer.allocUnsafe(1 << 16);
  const count = readSync(0, piece, 0, piece.length, null);
  if (count === 0) process.exit(0);
  held = Buffer.concat([held, piece.subarray(0, count)]);
}

function take(count) {
  while (held.length < count) more();
  const taken = held.subarray(0, count);
  held = held.subarray(count);
  return taken;
}

function request() {
  let end;
  while ((end = held.indexOf(10)) < 0) more();
  const fields = JSON.parse(take(end + 1).toString("utf8"));
  const arrays = {};
  for (const { name, dtype, shape } of fields.arrays) {
    const size = shape.reduce((product, length) => product * length, 1);
    const bytes = take(size * WIDTH[dtype]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const data = new Float64Array(size);
    for (let n = 0; n < size; n++) data[n] = READ[dtype](view, n * WIDTH[dtype]);
    arrays[name] = { dtype, shape, data };
  }
  return { ...fields, arrays };
}

function answer(fields, arrays = {}) {
  const listed = Object.entries(arrays).map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const parts = [Buffer.from(JSON.stringify({ ...fields, arrays: listed }) + "\n")];
  for (const { dtype, data } of Object.values(arrays)) {
    const bytes = Buffer.alloc(data.length * WIDTH[dtype]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    data.forEach((number, n) => WRITE[dtype](view, n * WIDTH[dtype], number));
    parts.push(bytes);
  }
  let left = Buffer.concat(parts);
  while (left.length) left = left.subarray(writeSync(1, left));
}

const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// The rows of `weight` times `x`, and `bias` where there is one.
function product(weight, bias, x) {
  const [rows, columns] = weight.shape;
  const sums = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    let sum = bias ? bias.data[r] : 0;
    for (let k = 0; k < columns; k++) sum += weight.data[r * columns + k] * x[k];
    sums[r] = sum;
  }
  return sums;
}

// Each kind's h' and c', from the two sums that its gates are made of.
const STEPS = {
  RNN: (a, b, h, c, relu) => {
    // NaN is let through, as it is no less than zero.
    const next = h.map((_, u) => (relu ? (a[u] + b[u] < 0 ? 0 : a[u] + b[u]) : Math.tanh(a[u] + b[u])));
    return [next, c];
  },
  LSTM: (a, b, h, c) => {
    const H = c.length;
    const gate = (g, u) => a[g * H + u] + b[g * H + u];
    const cell = c.map(
      (_, u) => sigmoid(gate(1, u)) * c[u] + sigmoid(gate(0, u)) * Math.tanh(gate(2, u)),
    );
    return [cell.map((_, u) => sigmoid(gate(3, u)) * Math.tanh(cell[u])), cell];
  },
  GRU: (a, b, h, c) => {
    const H = h.length;
    const next = h.map((_, u) => {
      const r = sigmoid(a[u] + b[u]);
      const z = sigmoid(a[H + u] + b[H + u]);
      const n = Math.tanh(a[2 * H + u] + r * b[2 * H + u]);
      return (1 - z) * n + z * h[u];
    });
    return [next, c];
  },
};

function build({ config, dtype, arrays }) {
  refuseUnless(HELLO.kinds.includes(config.kind), `no ${config.kind}`);
  refuseUnless(HELLO.dtypes.includes(dtype), `no ${dtype}`);
  refuseUnless(config.dropout === 0, "no dropout");
  return { config, dtype, parameters: arrays };
}

function shaped(array, dtype, shape, name) {
  const fits = array.dtype === dtype && String(array.shape) === String(shape);
  refuseUnless(fits, `${name} is ${array.dtype} ${array.shape}, and must be ${dtype} ${shape}`);
  return array.data;
}

function call({ config, dtype, parameters }, { input, h_0, c_0, lengths }) {
  refuseUnless(input.shape.length === 2 || input.shape.length === 3, "input has 2 or 3 axes");
  const unbatched = input.shape.length === 2;
  const swapped = config.batch_first && !unbatched;
  const L = input.shape[swapped ? 1 : 0];
  const N = unbatched ? 1 : input.shape[swapped ? 0 : 1];
  const [D, K, H] = [config.bidirectional ? 2 : 1, config.num_layers, config.hidden_size];
  const P = config.proj_size || H;
  // Where step t of sample n stands, in what the caller gives and gets.
  const place = (t, n) => (swapped ? n * L + t : t * N + n);
  const batch = unbatched ? [] : [N];
  const laidOut = (...rest) => (unbatched ? [L, ...rest] : swapped ? [N, L, ...rest] : [L, N, ...rest]);

  refuseUnless(L > 0, "no steps");
  shaped(input, dtype, laidOut(config.input_size), "input");
  const pair = config.kind === "LSTM";
  refuseUnless(pair ? !h_0 === !c_0 : !c_0, "the state is h_0 and c_0 for an LSTM, else h_0");
  const hShape = [D * K, ...batch, P];
  const cShape = [D * K, ...batch, H];
  const h = h_0 ? shaped(h_0, dtype, hShape, "h_0").slice() : new Float64Array(D * K * N * P);
  const c = c_0 ? shaped(c_0, dtype, cShape, "c_0").slice() : new Float64Array(D * K * N * H);
  if (lengths) {
    refuseUnless(!unbatched && lengths.data.length === N, "a length for each sample");
    refuseUnless(lengths.data.every((length) => length >= 1 && length <= L), "lengths do not fit");
  }

  let width = config.input_size;
  let x = input.data;
  for (let layer = 0; layer < K; layer++) {
    const y = new Float64Array(L * N * D * P);
    for (let direction = 0; direction < D; direction++) {
      const named = (role) => parameters[`${role}_l${layer}${direction ? "_reverse" : ""}`];
      const k = layer * D + direction;
      for (let n = 0; n < N; n++) {
        let hidden = h.slice((k * N + n) * P, (k * N + n + 1) * P);
        let cell = c.slice((k * N + n) * H, (k * N + n + 1) * H);
        // Padding is no step: the reverse direction begins at each sequence's own end.
        const own = lengths ? lengths.data[n] : L;
        for (let s = 0; s < own; s++) {
          const at = place(direction ? own - 1 - s : s, n);
          const a = product(named("weight_ih"), named("bias_ih"), x.subarray(at * width, (at + 1) * width));
          const b = product(named("weight_hh"), named("bias_hh"), hidden);
          [hidden, cell] = STEPS[config.kind](a, b, hidden, cell, config.nonlinearity === "relu");
          if (config.proj_size) hidden = product(named("weight_hr"), null, hidden);
          y.set(hidden, (at * D + direction) * P);
        }
        h.set(hidden, (k * N + n) * P);
        c.set(cell, (k * N + n) * H);
      }
    }
    x = y;
    width = D * P;
  }
  const results = {
    output: { dtype, shape: laidOut(D * P), data: x },
    h_n: { dtype, shape: hShape, data: h },
  };
  return pair ? { ...results, c_n: { dtype, shape: cShape, data: c } } : results;
}

const layers = new Map();

const DO = {
  hello: () => [HELLO],
  build: (asked) => {
    layers.set(asked.layer, build(asked));
    return [{}];
  },
  call: (asked) => [{}, call(layers.get(asked.layer), asked.arrays)],
  free: (asked) => {
    layers.delete(asked.layer);
    return [{}];
  },
};

for (;;) {
  const asked = request();
  const { id } = asked;
  try {
    refuseUnless(asked.do in DO, `there is nothing to do that is called ${asked.do} here`);
    const [fields, arrays] = DO[asked.do](asked);
    answer({ id, ...fields }, arrays);
  } catch (error) {
    answer({ id, [error instanceof Refusal ? "refused" : "error"]: error.message });
  }
}
