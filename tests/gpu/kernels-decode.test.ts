import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { type ErrorRegions, planAuxDecode, planDecode } from "../../gpu/kernels/decode.ts";
import { featureStride } from "../../gpu/kernels/feature-gradient.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { toHalf } from "../reference/half.ts";
import { asHardware, KernelBench, leftAlone } from "./kernel-bench.ts";
import { bitPlane, exponential, gamma, normals, packControl, range, worst } from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

interface Case {
  regions: ErrorRegions;
  rows: number;
  width: number;
  d_sae: number;
  /** Most active features of a token that a list has room for. */
  capacity: number;
  widths?: number[];
  half?: boolean;
  add_b_dec?: boolean;
  skip?: boolean;
  /** With the workgroups of hardware. */
  hardware?: boolean;
}

/** Active features: none at token 2, all at token 3, else some; those of the second plane contain the first's. */
function activity(rows: number, d_sae: number) {
  const random = new RandomStream(11);
  const draw = Float64Array.from({ length: rows * d_sae }, () => random.uniform());
  const below = (share: number) => (t: number, f: number) =>
    t === 3 || (t !== 2 && draw[t * d_sae + f]! < share);
  return { first: below(0.1), second: below(0.3) };
}

/** A number with the same expression of absolute values (kernel-data.ts). */
interface Sized {
  value: number;
  size: number;
}

function total(parts: readonly Sized[], weight = 1): Sized {
  return parts.reduce(
    (sum, part) => ({ value: sum.value + weight * part.value, size: sum.size + weight * part.size }),
    { value: 0, size: 0 },
  );
}

const plain = (value: number): Sized => ({ value, size: Math.abs(value) });
const relu = (value: number) => Math.max(value, 0);

describe("decode", () => {
  const cases: Case[] = [
    { regions: "plain", rows: 65, width: 37, d_sae: 129, capacity: 129, add_b_dec: true },
    { regions: "plain", rows: 65, width: 37, d_sae: 129, capacity: 129, half: true },
    // Lists that are not whole: at most tokens, and at token 3 alone.
    { regions: "plain", rows: 65, width: 37, d_sae: 129, capacity: 9, add_b_dec: true, skip: true },
    { regions: "plain", rows: 5, width: 130, d_sae: 20, capacity: 19, skip: true, half: true },
    { regions: "plain", rows: 1, width: 1, d_sae: 3, capacity: 3 },
    { regions: "plain", rows: 5, width: 130, d_sae: 20, capacity: 19, hardware: true },
    { regions: "nested", rows: 65, width: 37, d_sae: 129, capacity: 129, widths: [9, 33, 34, 129] },
    { regions: "nested", rows: 37, width: 37, d_sae: 129, capacity: 10, widths: [1, 129], add_b_dec: true },
    {
      regions: "nested",
      rows: 4,
      width: 130,
      d_sae: 40,
      capacity: 40,
      widths: range(16).map((l) => 10 + 2 * l),
    },
    { regions: "multi", rows: 65, width: 37, d_sae: 129, capacity: 129, add_b_dec: true },
    { regions: "multi", rows: 5, width: 70, d_sae: 20, capacity: 20, half: true },
    { regions: "gated", rows: 65, width: 37, d_sae: 129, capacity: 129, add_b_dec: true },
    { regions: "gated", rows: 37, width: 37, d_sae: 129, capacity: 9, half: true },
  ];
  test.each(cases.map((one): [string, Case] => [describeCase(one), one]))("%s", async (_name, given) => {
    const { regions, rows, width, d_sae, capacity, half = false, add_b_dec = false, skip = false } = given;
    const widths = given.widths?.map((own, level, all) => (level === all.length - 1 ? d_sae : own)) ?? [
      d_sae,
    ];
    bench = new KernelBench(given.hardware ? asHardware(gpu) : gpu, { rows });
    const stride = Math.ceil(width / 4);
    // One token more than the batch has.
    const planned = rows + 1;
    const feature_stride = featureStride(d_sae);
    const region_size = Math.ceil((planned * stride) / 16) * 16;
    const W = normals(d_sae * width, 1).map((w) => (half ? toHalf(w) : w));
    const [z, target] = [normals(planned * d_sae, 2), normals(planned * width, 3)];
    const [b_dec, skipped] = [normals(width, 4), normals(planned * width, 5)];
    const parameters = normals(3 * feature_stride, 6).map((value) => value / 2);
    const { first, second } = activity(rows, d_sae);
    // Multi-TopK lists what is in the second plane; gated lists open gates.
    const two = regions === "multi" || regions === "gated";
    const lists = range(rows).map((t) => range(d_sae).filter((f) => (two ? second : first)(t, f)));
    const indices = new Uint32Array(planned * capacity).fill(d_sae);
    lists.forEach((list, t) => {
      indices.set(list.slice(0, capacity), t * capacity);
    });
    const plane = Math.ceil(planned / 32) * d_sae;
    const words = new Uint32Array(2 * plane);
    words.set(bitPlane(rows, d_sae, first));
    words.set(bitPlane(rows, d_sae, second), plane);
    const regionCount = { plain: 1, nested: widths.length, multi: 3, gated: 2 }[regions];
    const errors = bench.untouched(4 * region_size * regionCount);
    const sizes = { rows: planned, d_sae, stride, capacity, feature_stride, region_size, widths, half };
    bench.run(
      await planDecode(
        bench.context,
        { ...sizes, plane: two ? plane : 0 },
        {
          W_dec: half ? bench.halves(W, width) : bench.rows(W, width),
          z: bench.input(z),
          indices: bench.input(indices),
          errors,
        },
        {
          regions,
          counts: bench.input(Uint32Array.from([...lists.map(({ length }) => length), 0])),
          words: bench.input(words),
          target: bench.rows(target, width),
          b_dec: add_b_dec ? bench.rows(b_dec, width) : null,
          skipped: skip ? bench.rows(skipped, width) : null,
          parameters: bench.input(parameters),
        },
      ),
    );

    const [b_gate, b_mag, r_mag] = range(3).map((row) => parameters.subarray(row * feature_stride));
    /** Error of a token's column, of what each of its features is worth. */
    const error = (t: number, c: number, worth: (f: number, value: number) => Sized): Sized =>
      total([
        plain(-target[t * width + c]!),
        plain(add_b_dec ? b_dec[c]! : 0),
        plain(skip ? skipped[t * width + c]! : 0),
        ...lists[t]!.map((f) => {
          const w = W[f * width + c]!;
          const { value, size } = worth(f, z[t * d_sae + f]!);
          return { value: value * w, size: size * Math.abs(w) };
        }),
      ]);
    const below = (width: number) => (f: number, value: number) => plain(f < width ? relu(value) : 0);
    const kept = (t: number) => (f: number, value: number) => plain(first(t, f) ? relu(value) : 0);
    const gate = (f: number, value: number) => ({
      value: value + b_gate![f]!,
      size: Math.abs(value) + Math.abs(b_gate![f]!),
    });
    const magnitude = (f: number, value: number) => {
      const raw = value * Math.exp(r_mag![f]!);
      // Where it is not above zero, rounding may still leave something of it.
      return { value: relu(raw + b_mag![f]!), size: Math.abs(raw) + Math.abs(b_mag![f]!) };
    };
    const expected: Record<ErrorRegions, (region: number, t: number, c: number) => Sized> = {
      plain: (_, t, c) => error(t, c, below(d_sae)),
      // The levels from levels − 1 − region upwards.
      nested: (region, t, c) =>
        total(widths.slice(widths.length - 1 - region).map((level) => error(t, c, below(level)))),
      multi: (region, t, c) =>
        total([
          region < 2 ? error(t, c, kept(t)) : plain(0),
          region > 0 ? total([error(t, c, below(d_sae))], 1 / 8) : plain(0),
        ]),
      gated: (region, t, c) => error(t, c, region === 0 ? magnitude : gate),
    };
    // A term is the product of an activation, for gated with what exp is off by, and a weight; a token's terms are
    // summed onto three others, and levels on top of one another.
    const own = regions === "gated" ? Math.max(...r_mag!.slice(0, d_sae).map(exponential)) + 2 : 0;
    const all = await bench.f32(errors);
    for (let region = 0; region < regionCount; region++) {
      const floats = all.subarray(4 * region * region_size, 4 * (region + 1) * region_size);
      const columns = 4 * stride;
      const wanted = range(rows * columns).map((i) =>
        i % columns < width ? expected[regions](region, Math.floor(i / columns), i % columns) : plain(0),
      );
      const bound = (i: number) =>
        gamma(lists[Math.floor(i / columns)]!.length + 4 + own + widths.length) * wanted[i]!.size;
      const values = wanted.map(({ value }) => value);
      expect(worst(floats, values, bound), `region ${region}`).toBeLessThan(1);
      expect(floats.subarray(columns * rows).every((value) => value === leftAlone)).toBe(true);
    }
  });
});

describe("AuxK's decode", () => {
  test.each([
    { widths: [129], level: 0, half: false },
    { widths: [129], level: 0, half: true },
    { widths: [9, 33, 129], level: 0, half: false },
    { widths: [9, 33, 129], level: 1, half: false },
    { widths: [9, 33, 129], level: 2, half: false },
  ])("onto the error of level $level of $widths, scaled, not rectified, f16: $half", async (given) => {
    const { widths, level, half } = given;
    const [rows, width, d_sae, capacity, k, scale] = [37, 37, 129, 5, 3, 0.3];
    bench = new KernelBench(gpu, { rows });
    const stride = Math.ceil(width / 4);
    const region_size = Math.ceil(((rows + 1) * stride) / 16) * 16;
    const random = new RandomStream(4);
    const W = normals(d_sae * width, 1).map((w) => (half ? toHalf(w) : w));
    const z = normals((rows + 1) * d_sae, 2);
    const indices = Uint32Array.from({ length: (rows + 1) * capacity }, () => random.u32() % d_sae);
    const [main, region] = [widths.length, widths.length + 1];
    const before = new Float32Array(4 * region_size * (main + 2)).fill(leftAlone);
    const columns = 4 * stride;
    for (let r = 0; r < main; r++) before.set(normals(rows * columns, 10 + r), 4 * r * region_size);
    const errors = bench.input(before);
    const aux = widths.map((_, own) =>
      own === level ? { n_dead: k, k, scale } : { n_dead: 1, k: 1, scale: 9 },
    );
    bench.run(
      await planAuxDecode(
        bench.context,
        {
          rows: rows + 1,
          d_sae,
          stride,
          capacity,
          feature_stride: featureStride(d_sae),
          region_size,
          plane: 0,
          widths,
          half,
        },
        {
          W_dec: half ? bench.halves(W, width) : bench.rows(W, width),
          z: bench.input(z),
          indices: bench.input(indices),
          errors,
        },
        { control: bench.input(packControl(d_sae, { n_dead: k, aux })), level, region },
      ),
    );
    const after = await bench.f32(errors);
    const suffix = main - 1 - level;
    const wanted = range(rows * columns).map((i) => {
      const [t, c] = [Math.floor(i / columns), i % columns];
      const own = before[4 * suffix * region_size + i]!;
      // What the levels above it contribute to the suffix sum.
      const above = suffix > 0 ? before[4 * (suffix - 1) * region_size + i]! : 0;
      const terms = range(c < width ? k : 0).map((j) => {
        const f = indices[t * capacity + j]!;
        return plain(z[t * d_sae + f]! * W[f * width + c]!);
      });
      return total([plain(own), plain(-above), ...terms], scale);
    });
    const written = after.subarray(4 * region * region_size);
    const values = wanted.map(({ value }) => value);
    expect(worst(written, values, (i) => gamma(k + 4) * wanted[i]!.size)).toBeLessThan(1);
    const untouched = before.slice();
    untouched.set(written.subarray(0, rows * columns), 4 * region * region_size);
    expect(after).toEqual(untouched);
  });
});

function describeCase({ regions, rows, width, d_sae, capacity, widths, ...options }: Case): string {
  const on = Object.entries(options).filter(([, value]) => value);
  return [
    `${regions}: ${rows} × ${width}, ${d_sae} features, lists of ${capacity}`,
    ...(widths === undefined ? [] : [`${widths.length} levels`]),
    ...on.map(([name]) => name),
  ].join(", ");
}
