import { describe, expect, it } from "vitest";
import { frequencyOfSparsity, saeHistograms } from "../../gpu/metrics/sae-histograms.ts";

const total = (counts: number[]) => counts.reduce((sum, count) => sum + count, 0);

function decoder(rows: number[][]) {
  const data = Float32Array.from(rows.flat());
  return { tensors: { W_dec: { shape: [rows.length, rows[0]?.length ?? 0], data } } };
}

describe("histograms of an SAE", () => {
  it("bin firing frequencies by their logarithm, and count the silent apart", () => {
    const frequency = Float32Array.from([0, 0, 0.001, 0.0011, 0.5, 1]);
    const { frequency: bins } = saeHistograms(decoder([[1]]), frequency);
    expect(bins).toMatchObject({ from: -3, to: 0, silent: 2 });
    expect(total(bins!.counts)).toBe(4);
    expect(bins!.counts[0]).toBe(2);
    expect(bins!.counts.at(-1)).toBe(1);
  });

  it("put norms that all rows share within one bin, in the middle", () => {
    const { decoder_norm } = saeHistograms(
      decoder([
        [0.6, 0.8],
        [1, 0],
        [0, -1.0000001],
      ]),
      null,
    );
    const middle = (decoder_norm.counts.length - 1) / 2;
    expect(decoder_norm.counts[middle]).toBe(3);
    expect(decoder_norm.from).toBeCloseTo(0.5, 5);
  });

  it("span the norms where they differ, and lose none", () => {
    const { decoder_norm, frequency } = saeHistograms(decoder([[0], [1], [2], [4]]), null);
    expect(frequency).toBeNull();
    expect(decoder_norm.from).toBe(0);
    expect(decoder_norm.to).toBeGreaterThan(4);
    expect(total(decoder_norm.counts)).toBe(4);
  });

  it("stand an SAE whose features never fire or have no decoder", () => {
    const { frequency, decoder_norm } = saeHistograms(decoder([[0], [0]]), new Float32Array(2));
    expect(frequency).toMatchObject({ silent: 2 });
    expect(total(frequency!.counts)).toBe(0);
    expect(total(decoder_norm.counts)).toBe(2);
  });

  it("take frequencies back from SAELens' sparsity", () => {
    const frequency = Float32Array.from([0, 0.25, 1]);
    const back = frequencyOfSparsity(frequency.map((p) => Math.log10(p + 1e-10)));
    expect(back[0]).toBe(0);
    expect(back[1]).toBeCloseTo(0.25, 6);
    expect(back[2]).toBeCloseTo(1, 6);
  });
});
