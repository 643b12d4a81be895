import { describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { describeModel, familyWeights } from "../../gpu/lm/families/index.ts";
import { hookPoints } from "../../gpu/lm/hook-points.ts";
import { pitch, place, plain, unpad, width } from "../../gpu/lm/layout.ts";
import { findWeight, uploadWeight } from "../../gpu/lm/load-weights.ts";
import { buildProgram, weightElements } from "../../gpu/lm/program.ts";
import { weightsOf } from "../gpu/lm-models.ts";
import { variants } from "../reference/lm/variants.ts";

/* What arrives on the GPU of a model's tensors, with a device that only keeps what is written. */

const all = variants();

async function uploaded(variant: string, weight: string, sliceBytes?: number) {
  const model = all.find(({ name }) => name === variant);
  if (model === undefined) throw new Error(`There is no variant ${variant}.`);
  const spec = describeModel(model.config);
  const hooks = hookPoints(spec).map(({ name }) => name);
  const plan = buildProgram(spec, { hooks, logits: true, pieceTokens: 16 }).weights.get(weight);
  if (plan === undefined) throw new Error(`There is no weight ${weight}.`);
  const buffer = new Float32Array(weightElements(plan));
  let largest = 0;
  const queue = {
    writeBuffer(_: unknown, offset: number, data: Float32Array) {
      largest = Math.max(largest, data.byteLength);
      buffer.set(data, offset / 4);
    },
    submit: () => null,
    onSubmittedWorkDone: () => Promise.resolve(),
  };
  const source = weightsOf(model);
  await uploadWeight(
    { device: { queue } } as unknown as Gpu,
    source,
    findWeight(source, familyWeights(spec), plan),
    { buffer: {} as GPUBuffer, precision: "f32", scales: null },
    sliceBytes,
  );
  return { buffer, plan, largest, spec, tensors: model.tensors };
}

const slices = [1, 400, 2 ** 20];

describe.each(slices)("in slices of %i bytes", (sliceBytes) => {
  test.each([
    // GPT-2: columns of [in, out], keys after the queries.
    ["gpt2", "blocks.1.W_K", "transformer.h.1.attn.c_attn.weight", (r: number, c: number) => c * 54 + 18 + r],
    ["gpt2", "blocks.1.b_V", "transformer.h.1.attn.c_attn.bias", (r: number) => 36 + r],
    ["gpt2", "blocks.0.W_out", "transformer.h.0.mlp.c_proj.weight", (r: number, c: number) => c * 18 + r],
    ["gpt2", "W_E from 16", "transformer.wte.weight", (r: number, c: number) => (16 + r) * 18 + c],
    // GPT-NeoX, heads of 10: [heads, 3, d_head].
    [
      "gpt_neox sequential, d_head 10",
      "blocks.0.W_V",
      "gpt_neox.layers.0.attention.query_key_value.weight",
      (r: number, c: number) => (Math.floor(r / 10) * 30 + 20 + (r % 10)) * 30 + c,
    ],
    [
      "gpt_neox sequential, d_head 10",
      "blocks.1.b_Q",
      "gpt_neox.layers.1.attention.query_key_value.bias",
      (r: number) => Math.floor(r / 10) * 30 + (r % 10),
    ],
    // Heads of 6, as rows and as columns.
    ["llama, 3 heads on 1", "blocks.0.W_Q", "model.layers.0.self_attn.q_proj.weight", (r, c) => r * 18 + c],
    ["llama, 3 heads on 1", "blocks.0.W_O", "model.layers.0.self_attn.o_proj.weight", (r, c) => r * 18 + c],
    // Phi-3: rows after others.
    [
      "phi3, window 6",
      "blocks.1.W_V",
      "model.layers.1.self_attn.qkv_proj.weight",
      (r, c) => (48 + r) * 24 + c,
    ],
    [
      "phi3, window 6",
      "blocks.1.W_in",
      "model.layers.1.mlp.gate_up_proj.weight",
      (r, c) => (31 + r) * 24 + c,
    ],
    ["phi", "b_U from 32", "lm_head.bias", (r: number) => 32 + r],
  ] as [string, string, string, (row: number, column: number) => number][])(
    "%s %s is in its place, padding zero",
    async (variant, weight, tensor, at) => {
      const { buffer, plan, largest, tensors } = await uploaded(variant, weight, sliceBytes);
      const { data } = tensors.get(tensor)!;
      const columns = plan.weight.columns ?? plain(1);
      const step = plan.weight.columns === null ? 1 : pitch(columns);
      const expected = new Float32Array(buffer.length);
      for (let r = 0; r < width(plan.rows); r++) {
        for (let c = 0; c < width(columns); c++) {
          expected[place(plan.rows, r) * step + place(columns, c)] = data[at(r, c)]!;
        }
      }
      expect(buffer).toEqual(expected);
      expect(largest).toBeLessThanOrEqual(Math.max(sliceBytes, 4 * step));
    },
  );
});

test("rows lose their padding, group by group", () => {
  const layout = { groups: 2, size: 3 };
  const padded = Float32Array.of(1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 10, 11, 12, 0);
  expect([...unpad(padded, layout)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  expect(unpad(padded, plain(16))).toBe(padded);
});
