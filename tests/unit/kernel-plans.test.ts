import { expect, test } from "vitest";
import type { Capabilities } from "../../gpu/device/gpu.ts";
import { spread } from "../../gpu/kernels/grid.ts";
import { packStep, stepUniformBytes } from "../../gpu/kernels/step.ts";
import { packWords, UniformArena, uniformSlotBytes } from "../../gpu/kernels/uniforms.ts";

test("a grid that one dimension does not hold is spread over two, with fewer than a row to spare", () => {
  const capabilities = { limits: { max_compute_workgroups_per_dimension: 100 } } as Capabilities;
  for (const groups of [1, 99, 100, 101, 200, 201, 9_999, 10_000]) {
    const [x, y, z] = spread(groups, capabilities);
    expect(z).toBe(1);
    expect(Math.max(x, y)).toBeLessThanOrEqual(100);
    expect(x * y).toBeGreaterThanOrEqual(groups);
    expect(x * y - groups).toBeLessThan(y);
    expect(y === 1).toBe(groups <= 100);
  }
});

test("words are packed as WGSL lays them out: whole vec4, little-endian", () => {
  const bytes = packWords([1, { f32: 0.5 }, 0xffffffff, 7, 8]);
  expect(bytes.byteLength).toBe(32);
  expect([...new Uint32Array(bytes)]).toEqual([1, 0x3f000000, 0xffffffff, 7, 8, 0, 0, 0]);
  for (const wrong of [-1, 0.5, 2 ** 32, Number.NaN]) expect(() => packWords([wrong])).toThrow(RangeError);
});

test("a step's scalars stand in the order of shaders/step.wgsl", () => {
  const bytes = packStep({
    rows: 1,
    number: 2,
    step_size: 3,
    second_moment_scale: 4,
    sparsity_coefficient: 5,
    k: 6,
    threshold_scale: 7,
  });
  expect(bytes.byteLength).toBe(stepUniformBytes);
  const [words, floats] = [new Uint32Array(bytes), new Float32Array(bytes)];
  expect([words[0], words[1], floats[2], floats[3], floats[4], words[5], floats[6]]).toEqual([
    1, 2, 3, 4, 5, 6, 7,
  ]);
});

test("uniforms take a slot each, and one more than was planned for is refused", () => {
  const writes: number[] = [];
  const device = { queue: { writeBuffer: (_: unknown, offset: number) => writes.push(offset) } };
  const buffer = { size: 2 * uniformSlotBytes } as GPUBuffer;
  const arena = new UniformArena(
    { device } as unknown as ConstructorParameters<typeof UniformArena>[0],
    buffer,
  );
  expect(arena.add([1])).toEqual({ buffer, offset: 0, size: 16 });
  expect(arena.add([1, 2, 3, 4, 5])).toEqual({ buffer, offset: uniformSlotBytes, size: 32 });
  expect(() => arena.add([1])).toThrow(/planned for 2 kernels/);
  expect(writes).toEqual([0, uniformSlotBytes]);
});
