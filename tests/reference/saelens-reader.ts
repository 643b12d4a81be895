import { readFileSync } from "node:fs";
import path from "node:path";

/*
 * An SAE folder as SAELens 6 takes it, read and evaluated without a line of ours: its own look at the safetensors bytes,
 * and SAELens' equations, class by class, in plain nested arrays of float64.
 */

type Matrix = number[][];

/** What SAELens' class computes for one batch. */
export interface SaeLensOutput {
  /** [n][d_sae] */
  features: Matrix;
  /** What `forward` returns, [n][d_out]. */
  output: Matrix;
}

export interface SaeLensSae {
  cfg: Record<string, unknown>;
  forward(x: Matrix): SaeLensOutput;
}

/** State dictionaries are strict: these keys and no others. */
const stateKeys: Record<string, string[]> = {
  standard: ["W_enc", "b_enc", "W_dec", "b_dec"],
  topk: ["W_enc", "b_enc", "W_dec", "b_dec"],
  jumprelu: ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"],
  gated: ["W_enc", "b_gate", "r_mag", "b_mag", "W_dec", "b_dec"],
  transcoder: ["W_enc", "b_enc", "W_dec", "b_dec"],
  skip_transcoder: ["W_enc", "b_enc", "W_dec", "b_dec", "W_skip"],
  jumprelu_transcoder: ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"],
  jumprelu_skip_transcoder: ["W_enc", "b_enc", "W_dec", "b_dec", "threshold", "W_skip"],
};

interface Tensor {
  shape: number[];
  values: number[];
}

function parse(file: string): Map<string, Tensor> {
  const bytes = readFileSync(file);
  const headerEnd = 8 + Number(bytes.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> =
    JSON.parse(bytes.toString("utf8", 8, headerEnd));
  const tensors = new Map<string, Tensor>();
  let covered = 0;
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (dtype !== "F32") throw new Error(`${name} is ${dtype}`);
    const [begin, end] = data_offsets;
    const values: number[] = [];
    for (let at = headerEnd + begin; at < headerEnd + end; at += 4) values.push(bytes.readFloatLE(at));
    if (values.length !== shape.reduce((a, b) => a * b, 1)) throw new Error(`${name} does not fill ${shape}`);
    covered += end - begin;
    tensors.set(name, { shape, values });
  }
  if (headerEnd + covered !== bytes.length) throw new Error("bytes are left over");
  return tensors;
}

function matrix(tensors: Map<string, Tensor>, name: string, rows: number, columns: number): Matrix {
  const { shape, values } = tensors.get(name)!;
  if (shape.length !== 2 || shape[0] !== rows || shape[1] !== columns) {
    throw new Error(`size mismatch for ${name}: [${shape}] instead of [${rows}, ${columns}]`);
  }
  return Array.from({ length: rows }, (_, row) => values.slice(row * columns, (row + 1) * columns));
}

function vector(tensors: Map<string, Tensor>, name: string, length: number): number[] {
  const { shape, values } = tensors.get(name)!;
  if (shape.length !== 1 || shape[0] !== length) throw new Error(`size mismatch for ${name}: [${shape}]`);
  return values;
}

function times(x: number[], W: Matrix): number[] {
  return W[0]!.map((_, column) => x.reduce((sum, value, row) => sum + value * W[row]![column]!, 0));
}

const plus = (a: number[], b: number[]) => a.map((value, i) => value + b[i]!);
const minus = (a: number[], b: number[]) => a.map((value, i) => value - b[i]!);
const relu = (a: number[]) => a.map((value) => (value > 0 ? value : 0));
const norm = (a: number[]) => Math.sqrt(a.reduce((sum, value) => sum + value * value, 0));

/** Reads the folder as `SAE.load_from_disk` does. Throws where that would. */
export function loadFromDisk(folder: string): SaeLensSae {
  const cfg: Record<string, unknown> = JSON.parse(readFileSync(path.join(folder, "cfg.json"), "utf8"));
  const metadata = cfg.metadata as Record<string, unknown>;
  if (!/^[6-9]\.\d+\.\d+$/.test(String(metadata.sae_lens_version))) throw new Error("not a config of 6.0");
  for (const key of ["d_in", "d_sae", "dtype", "device"])
    if (!(key in cfg)) throw new Error(`KeyError ${key}`);
  const architecture = String(cfg.architecture);
  const keys = stateKeys[architecture];
  if (keys === undefined) throw new Error(`no class is registered for ${architecture}`);
  const tensors = parse(path.join(folder, "sae_weights.safetensors"));
  const found = [...tensors.keys()];
  if (found.length !== keys.length || !keys.every((key) => tensors.has(key))) {
    throw new Error(`state_dict: expected ${keys}, found ${found}`);
  }

  const isTranscoder = architecture.endsWith("transcoder");
  const d_in = Number(cfg.d_in);
  const d_sae = Number(cfg.d_sae);
  const d_out = isTranscoder ? Number(cfg.d_out) : d_in;
  const subtract = cfg.apply_b_dec_to_input === true;
  if (isTranscoder && subtract) throw new Error("apply_b_dec_to_input is not supported for transcoders");
  const W_enc = matrix(tensors, "W_enc", d_in, d_sae);
  const W_dec = matrix(tensors, "W_dec", d_sae, d_out);
  const b_dec = vector(tensors, "b_dec", d_out);
  const b = (name: string) => vector(tensors, name, d_sae);

  const encode = (x: number[]): number[] => {
    const sae_in = subtract ? minus(x, b_dec) : x;
    if (architecture === "gated") {
      const gates = plus(times(sae_in, W_enc), b("b_gate"));
      const exponentials = b("r_mag").map(Math.exp);
      const scaled = W_enc.map((row) => row.map((weight, i) => weight * exponentials[i]!));
      const magnitudes = relu(plus(times(sae_in, scaled), b("b_mag")));
      return gates.map((gate, i) => (gate > 0 ? magnitudes[i]! : 0));
    }
    const hidden_pre = plus(times(sae_in, W_enc), b("b_enc"));
    if (architecture === "topk") return topk(hidden_pre);
    const acts = relu(hidden_pre);
    if (!architecture.startsWith("jumprelu")) return acts;
    const threshold = b("threshold");
    return acts.map((act, i) => (hidden_pre[i]! > threshold[i]! ? act : 0));
  };

  const rescale = cfg.rescale_acts_by_decoder_norm === true;
  const topk = (hidden_pre: number[]): number[] => {
    const values = rescale ? hidden_pre.map((z, i) => z * norm(W_dec[i]!)) : hidden_pre;
    const order = values.map((_, i) => i).sort((i, j) => values[j]! - values[i]! || i - j);
    const kept = new Set(order.slice(0, Number(cfg.k)));
    return relu(values).map((value, i) => (kept.has(i) ? value : 0));
  };

  const decode = (f: number[]): number[] => {
    const acts = architecture === "topk" && rescale ? f.map((act, i) => act / norm(W_dec[i]!)) : f;
    return plus(times(acts, W_dec), b_dec);
  };

  const normalize = String(cfg.normalize_activations);
  const enter = (x: number[]): { x: number[]; undo(y: number[]): number[] } => {
    if (normalize === "constant_norm_rescale") {
      const coefficient = Math.sqrt(d_in) / norm(x);
      return { x: x.map((v) => v * coefficient), undo: (y) => y.map((v) => v / coefficient) };
    }
    if (normalize === "layer_norm") {
      const mu = x.reduce((sum, v) => sum + v, 0) / x.length;
      const centred = x.map((v) => v - mu);
      const std = Math.sqrt(centred.reduce((sum, v) => sum + v * v, 0) / (x.length - 1));
      return { x: centred.map((v) => v / (std + 1e-5)), undo: (y) => y.map((v) => v * std + mu) };
    }
    return { x, undo: (y) => y };
  };

  const W_skip = tensors.has("W_skip") ? matrix(tensors, "W_skip", d_out, d_in) : null;
  return {
    cfg,
    forward(batch) {
      const rows = batch.map((row) => {
        const entered = enter(row);
        const features = encode(entered.x);
        const decoded = decode(features);
        if (!isTranscoder) return { features, output: entered.undo(decoded) };
        const skipped = W_skip?.map((weights) => weights.reduce((sum, w, i) => sum + w * row[i]!, 0));
        return { features, output: skipped ? plus(decoded, skipped) : decoded };
      });
      return { features: rows.map((row) => row.features), output: rows.map((row) => row.output) };
    },
  };
}
