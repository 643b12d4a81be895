import { expect, test } from "vitest";
import { caseConfig, parseCase, standardCases } from "../../bench/cases.ts";
import { kernelResult } from "../../bench/suite.ts";
import { summarize } from "../../bench/summary.ts";
import { baseArchitectures } from "../../gpu/sae/architecture.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";

test("a summary is the median, the extremes and the count", () => {
  expect(summarize([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5, n: 3 });
  expect(summarize([4, 10, 1, 2])).toEqual({ median: 3, min: 1, max: 10, n: 4 });
  expect(summarize([7])).toEqual({ median: 7, min: 7, max: 7, n: 1 });
  expect(() => summarize([])).toThrow(RangeError);
});

test("every standard case is a valid configuration", () => {
  const cases = [...standardCases(false, false), ...standardCases(true, false), ...standardCases(true, true)];
  expect(cases.length).toBeGreaterThan(0);
  for (const benchCase of cases) expect(configFaults(caseConfig(benchCase))).toEqual([]);
});

test("every base architecture has a case of the same size", () => {
  const cases = standardCases(true, false).filter(({ d_in, d_sae }) => d_in === 128 && d_sae === 1024);
  expect(cases.map((one) => caseConfig(one).architecture).toSorted()).toEqual(baseArchitectures.toSorted());
});

test("a case is read from d_in,d_sae,k,batch, with or without an architecture, and nothing else", () => {
  expect(parseCase("32,64,4,512")).toEqual({ d_in: 32, d_sae: 64, k: 4, batch: 512 });
  expect(parseCase("32,64,4,512,gated")).toEqual({
    architecture: "gated",
    d_in: 32,
    d_sae: 64,
    k: 4,
    batch: 512,
  });
  const wrongs = ["", "32,64,4", "32,64,4,512,1", "32,64,four,512", "32,64,0,512", "32,6.5,4,512"];
  for (const wrong of [...wrongs, "32,64,4,512,transcoder", "32,64,4,512,gated,1", "32,64,4,gated"]) {
    expect(() => parseCase(wrong)).toThrow(/d_in,d_sae,k,batch/);
  }
});

const roofs = { copy_bytes_per_second: summarize([100e9]), fma_flops_per_second: summarize([1e12]) };
const profiled = { label: "encode", calls: 2, ns: [3e6, 1e6, 2e6], indirect: false };

test("a kernel is set against the nearer of the two roofs", () => {
  // In 2 ms the roofs allow 0.2 GB and 2 GFLOP.
  const memory = kernelResult({ ...profiled, bytes: 0.1e9, flops: 0.5e9 }, roofs);
  expect(memory).toMatchObject({ bound: "memory", ms: { median: 2, min: 1, max: 3 } });
  expect(memory.percent_of_roof).toBeCloseTo(50);
  expect(memory.bytes_per_second).toBeCloseTo(50e9);
  const compute = kernelResult({ ...profiled, bytes: 0.01e9, flops: 1.5e9 }, roofs);
  expect(compute.bound).toBe("compute");
  expect(compute.percent_of_roof).toBeCloseTo(75);
  expect(compute.flops_per_second).toBeCloseTo(0.75e12);
});

test("a kernel that had nothing to do is given no bytes, no flops and no share", () => {
  const idle = kernelResult({ ...profiled, bytes: 1e9, flops: 1e9, indirect: true }, roofs, true);
  expect(idle).toMatchObject({ bound: "idle", bytes: 0, flops: 0, percent_of_roof: 0 });
});
