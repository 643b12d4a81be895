import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pushApart, randomDirections } from "../../gpu/data/directions.ts";
import { groundTruth, groundTruthOn, takesLong } from "../../gpu/data/ground-truth.ts";
import { pushApartOnGpu } from "../../gpu/data/orthogonalize-kernels.ts";
import { SyntheticSource, syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import { OutOfMemoryError } from "../../gpu/device/errors.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { ByteLedger } from "../../gpu/device/ledger.ts";
import { openGpu } from "../../gpu/device/node.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software", robust: true });
});
afterAll(() => gpu.close());

describe("pushing features apart on the GPU", () => {
  for (const [n, d, steps, lr] of [
    [300, 50, 20, 1e-3],
    [131, 13, 60, 0.01],
    [64, 32, 1, 3e-4],
  ] as const) {
    it(`follows float64 on the CPU: ${n} features in ${d} dimensions, ${steps} steps`, async () => {
      const used = gpu.ledger.used;
      const start = randomDirections(n, d, 7, 1);
      const [wanted, found, again] = [start.slice(), start.slice(), start.slice()];
      pushApart(wanted, d, steps, lr);
      await pushApartOnGpu(gpu, found, d, steps, lr);
      await pushApartOnGpu(gpu, again, d, steps, lr);
      expect(again).toEqual(found);
      // Adam's first steps are lr · sign(gradient), so a gradient of about zero may go either way once.
      const differences = found.map((value, at) => Math.abs(value - wanted[at]!));
      const moved = start.map((value, at) => Math.abs(value - wanted[at]!));
      const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
      expect(mean(differences)).toBeLessThan(1e-3 * mean(moved));
      expect(differences.filter((value) => value > 1e-4 * Math.max(1, lr / 1e-3)).length).toBeLessThan(
        0.01 * n * d,
      );
      expect(gpu.ledger.used).toBe(used);
    });
  }
});

describe("a source whose features take long to make", () => {
  const config = syntheticConfigSchema.parse({ d_in: 128, n_features: 512, orthogonalize_steps: 120 });
  const wanted = groundTruth(config);
  const quick = { ...config, orthogonalize_steps: 100 };

  it("tells so before it is prepared, makes them once, and gives them to every caller", async () => {
    expect([takesLong(config), takesLong(quick)]).toEqual([true, false]);
    const source = new SyntheticSource(config);
    expect(() => source.truth).toThrow("prepare");
    const [one, other] = await Promise.all([source.prepare(gpu), source.prepare(gpu)]);
    expect(other).toBe(one);
    expect(source.truth).toBe(one);
    // A software adapter leaves it to the CPU.
    expect(one.dictionary).toEqual(wanted.dictionary);

    const few = new SyntheticSource(quick);
    const { truth } = few;
    expect(await few.prepare(gpu)).toBe(truth);
  });

  it("has them made by a GPU that is one, equal up to rounding", async () => {
    const hardware = { ...gpu, capabilities: { ...gpu.capabilities, software: false } };
    const made = await groundTruthOn(hardware, config);
    expect(made.dictionary).not.toEqual(wanted.dictionary);
    const worst = made.dictionary.reduce(
      (most, value, at) => Math.max(most, Math.abs(value - wanted.dictionary[at]!)),
      0,
    );
    expect(worst).toBeLessThan(0.01);
    expect({ ...made, dictionary: null }).toEqual({ ...wanted, dictionary: null });
  });

  it("can be tried again after memory ran out", async () => {
    const source = new SyntheticSource(config);
    const full = {
      ...gpu,
      capabilities: { ...gpu.capabilities, software: false },
      ledger: new ByteLedger(gpu.device, 1_000),
    };
    await expect(source.prepare(full)).rejects.toThrow(OutOfMemoryError);
    expect(full.ledger.used).toBe(0);
    expect((await source.prepare(gpu)).dictionary).toHaveLength(512 * 128);
  });
});
