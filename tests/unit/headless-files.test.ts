import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { safetensorsPieces } from "../../gpu/data/safetensors.ts";
import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { openActivations } from "../../server/headless/activations.ts";
import { NonFiniteActivationsError, scanActivations } from "../../server/headless/finite-scan.ts";
import { readInitialWeights } from "../../server/headless/initial-weights.ts";
import { Interruption } from "../../server/headless/interruption.ts";
import { MetricsLog } from "../../server/headless/metrics-log.ts";
import { Progress } from "../../server/headless/progress.ts";
import { openData, sameData } from "../../server/headless/training-data.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-headless-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** A safetensors file of F32 rows; number i of the tensor is `first` + i. */
async function write(name: string, rows: number, width: number, first = 0, tensor = "activations") {
  const file = path.join(home, name);
  await mkdir(path.dirname(file), { recursive: true });
  const data = Float32Array.from({ length: rows * width }, (_, index) => first + index);
  await writeFile(file, Buffer.concat(safetensorsPieces([{ name: tensor, shape: [rows, width], data }])));
  return file;
}

/** A file of 16-bit numbers, given by their bits. */
async function write16(name: string, dtype: "F16" | "BF16", shape: [number, number], bits: number[]) {
  const entry = { dtype, shape, data_offsets: [0, 2 * bits.length] };
  const json = JSON.stringify({ activations: entry });
  const header = Buffer.alloc(8);
  header.writeBigUInt64LE(BigInt(json.length));
  const file = path.join(home, name);
  await writeFile(
    file,
    Buffer.concat([header, Buffer.from(json), Buffer.from(Uint16Array.from(bits).buffer)]),
  );
  return file;
}

describe("activations", () => {
  it("of a folder are those of its files in the order of their names", async () => {
    await write("set/b.safetensors", 1, 2, 100);
    await write("set/a.safetensors", 2, 2, 0);
    await writeFile(path.join(home, "set", "notes.txt"), "");
    const set = await openActivations(path.join(home, "set"));
    expect(set).toMatchObject({ n_rows: 3, d_in: 2 });
    expect([...(await set.read(0, 3))]).toEqual([0, 1, 2, 3, 100, 101]);
    await set.close();
  });

  it("are read in half precision", async () => {
    const half = await openActivations(await write16("h.safetensors", "F16", [1, 2], [0x3c00, 0xc000]));
    expect([...(await half.read(0, 1))]).toEqual([1, -2]);
    await half.close();
    const brain = await openActivations(await write16("b.safetensors", "BF16", [1, 2], [0x3f80, 0xc000]));
    expect([...(await brain.read(0, 1))]).toEqual([1, -2]);
    await brain.close();
  });

  it("are refused when they are missing, cut off, or of several widths", async () => {
    await expect(openActivations(path.join(home, "none"))).rejects.toThrow("There is no file or folder");
    await mkdir(path.join(home, "empty"));
    await expect(openActivations(path.join(home, "empty"))).rejects.toThrow("holds no .safetensors file");
    const file = await write("set/a.safetensors", 2, 2);
    await expect(openActivations(file, "other")).rejects.toThrow('no tensor "other"');
    await write("set/b.safetensors", 2, 3);
    await expect(openActivations(path.join(home, "set"))).rejects.toThrow(/has width 2, but .* width 3/);
    await truncate(file, 70);
    await expect(openActivations(file)).rejects.toThrow("cut off");
  });
});

describe("the scan", () => {
  it("gives the hash of the stored numbers", async () => {
    const set = await openActivations(await write("a.safetensors", 3, 2));
    const bytes = Buffer.from(Float32Array.from([0, 1, 2, 3, 4, 5]).buffer);
    expect(await scanActivations(set.files[0]!)).toBe(createHash("sha256").update(bytes).digest("hex"));
    await set.close();
  });

  it.each([
    ["F16", 0x7e00],
    ["F16", 0xfc00],
    ["BF16", 0x7fc0],
    ["BF16", 0xff80],
  ] as const)("finds what is not finite in %s, %i", async (dtype, bad) => {
    // The largest finite numbers of both are not taken for it.
    const largest = dtype === "F16" ? 0x7bff : 0x7f7f;
    const set = await openActivations(await write16("a.safetensors", dtype, [2, 2], [largest, 0, 1, bad]));
    await expect(scanActivations(set.files[0]!)).rejects.toMatchObject({ row: 1, column: 1 });
    await set.close();
  });

  it("names file, row and column of the first, and counts rows", async () => {
    // More rows than are read at a time.
    const width = 64;
    const data = new Float32Array(20_000 * width);
    data[17_000 * width + 5] = Number.NaN;
    data[17_000 * width + 6] = Number.POSITIVE_INFINITY;
    data[19_999 * width] = Number.NEGATIVE_INFINITY;
    const file = path.join(home, "a.safetensors");
    const tensor = { name: "activations", shape: [20_000, width], data };
    await writeFile(file, Buffer.concat(safetensorsPieces([tensor])));
    const set = await openActivations(file);
    const scanning = scanActivations(set.files[0]!);
    await expect(scanning).rejects.toThrow(NonFiniteActivationsError);
    await expect(scanning).rejects.toMatchObject({ file, row: 17_000, column: 5 });
    await expect(scanning).rejects.toThrow(
      '2 rows of "activations" hold NaN or infinity, first at row 17000',
    );
    // Rows that are not asked for do not count.
    await scanActivations(set.files[0]!, undefined, undefined, 17_000);
    await set.close();
  });
});

describe("the data of a run", () => {
  const at = (activations: string[], targets: string | null = null) => ({
    activations,
    targets,
    tensor: null,
    target_tensor: null,
  });

  it("is the hook points side by side, the target last", async () => {
    const files = [await write("a.safetensors", 2, 1, 0), await write("b.safetensors", 2, 1, 10)];
    const data = await openData(at(files, await write("t.safetensors", 2, 2, 100)));
    expect(data.widths).toEqual({ inputs: [1, 1], target: 2 });
    expect([...(await data.rows.read(0, 2))]).toEqual([0, 10, 100, 101, 1, 11, 102, 103]);
    await data.close();
  });

  it("names every file that cannot be read, and rows that do not match", async () => {
    const good = await write("a.safetensors", 2, 1);
    const missing = openData(at([path.join(home, "x"), path.join(home, "y")]));
    await expect(missing).rejects.toMatchObject({
      faults: [{ path: "activations" }, { path: "activations" }],
    });
    const shorter = openData(at([good], await write("t.safetensors", 1, 1)));
    await expect(shorter).rejects.toMatchObject({ faults: [{ path: "targets" }] });
    await expect(shorter).rejects.toThrow(/has 2 rows, but .* has 1;/);
  });

  it("is the same by its numbers, whatever its files are called", async () => {
    const identity = async (file: string) => {
      const data = await openData(at([file]));
      const found = await data.identify(() => undefined, new AbortController().signal);
      await data.close();
      return found;
    };
    const first = await identity(await write("a.safetensors", 2, 1));
    expect(sameData(first, await identity(await write("b.safetensors", 2, 1)))).toBe(true);
    expect(sameData(first, await identity(await write("c.safetensors", 2, 1, 1)))).toBe(false);
    // The same numbers as other rows.
    expect(sameData(first, await identity(await write("d.safetensors", 1, 2)))).toBe(false);
  });
});

describe("weights to start from", () => {
  it("are read by name, and must be finite", async () => {
    const file = await write("w.safetensors", 2, 2, 0, "W_enc");
    expect(await readInitialWeights(file)).toEqual({
      W_enc: { shape: [2, 2], data: Float32Array.of(0, 1, 2, 3) },
    });
    await write("w.safetensors", 2, 2, Number.NaN, "W_enc");
    await expect(readInitialWeights(file)).rejects.toThrow('number 0 of "W_enc" is NaN');
    await expect(readInitialWeights(path.join(home, "none"))).rejects.toThrow("cannot be read");
  });
});

describe("the log of metrics", () => {
  const row = (step: number) => ({ step, loss: 1 / step }) as StepMetrics;
  const steps = async (file: string) =>
    (await readFile(file, "utf8"))
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as StepMetrics).step);

  it("goes on after a step, without the rows and half rows beyond it", async () => {
    const file = path.join(home, "metrics.jsonl");
    const first = await MetricsLog.open(file, 0);
    await first.append([10, 20, 30].map(row));
    await first.close();
    await writeFile(file, '{"step":40,"lo', { flag: "a" });
    const second = await MetricsLog.open(file, 25);
    await second.append([row(30)]);
    await second.close();
    expect(await steps(file)).toEqual([10, 20, 30]);

    // A cut line ends what is whole, even where later steps are wanted.
    await writeFile(file, '{"step":40,"lo\n{"step":50}\n', { flag: "a" });
    await (await MetricsLog.open(file, 60)).close();
    expect(await steps(file)).toEqual([10, 20, 30]);

    const copy = path.join(home, "copy.jsonl");
    await (await MetricsLog.open(copy, 20, file)).close();
    expect(await steps(copy)).toEqual([10, 20]);
    await (await MetricsLog.open(file, 0)).close();
    expect(await readFile(file, "utf8")).toBe("");
  });
});

describe("progress", () => {
  function progress(rewrite: boolean) {
    const lines: string[] = [];
    let now = 0;
    const shown = new Progress({
      unit: "step",
      total: 1_000,
      done: 200,
      line: (text) => lines.push(text),
      ...(rewrite ? { rewrite: (text: string) => lines.push(`\r${text}`) } : {}),
      now: () => now,
    });
    return {
      lines,
      shown,
      at(ms: number, done: number, detail?: string) {
        now = ms;
        shown.update(done, detail);
      },
    };
  }

  it("prints a line every tenth of the way, with rate and time left", () => {
    const { at, lines } = progress(false);
    at(500, 310);
    at(1_000, 320, "loss 2");
    at(2_000, 390);
    at(2_500, 400);
    at(3_000, 450);
    expect(lines).toEqual([
      "step 320/1000  32 %  120/s  6 s left  loss 2",
      "step 400/1000  40 %  80.0/s  8 s left",
    ]);
  });

  it("tells the time left of work that comes in bursts by all of them", () => {
    const { at, lines } = progress(false);
    at(10_000, 300);
    at(70_000, 301);
    expect(lines.at(-1)).toMatch(/^step 301\/1000 {2}30 % {2}0\.0167\/s {2}8 min 4 s left$/);
  });

  it("prints a line a minute where a tenth takes longer, and the end", () => {
    const { at, lines } = progress(false);
    at(59_000, 201);
    at(60_000, 202);
    at(61_000, 1_000);
    expect(lines).toEqual([
      expect.stringMatching(/^step 202\/1000 {2}20 % {2}[\d.]+\/s/),
      expect.stringMatching(/^step 1000\/1000 {2}100 % {2}[\d.]+\/s$/),
    ]);
  });

  it("says nothing of what is done at once", () => {
    const { at, lines } = progress(false);
    at(20, 1_000);
    expect(lines).toEqual([]);
  });

  it("rewrites one line on a terminal and leaves it for others", () => {
    const { at, lines, shown } = progress(true);
    at(50, 210);
    at(100, 220);
    at(150, 230);
    shown.interrupt();
    at(300, 240);
    shown.end();
    expect(lines.map((line) => line.slice(0, 9))).toEqual(["\rstep 220", "\r\n", "\rstep 240", "\r\n"]);
  });
});

describe("an interruption", () => {
  it("is one wish however often it comes at once; a later one ends the process", () => {
    const exit = vi.spyOn(process, "exit").mockReturnValue(undefined as never);
    const now = vi.spyOn(performance, "now").mockReturnValue(1_000);
    const interruption = new Interruption();
    expect(interruption.received).toBeNull();
    process.emit("SIGTERM");
    // As npm passes on what the terminal has sent to both.
    now.mockReturnValue(1_100);
    process.emit("SIGTERM");
    expect(exit).not.toHaveBeenCalled();
    expect(interruption.received).toMatchObject({ signal: "SIGTERM", exitCode: 143 });
    expect(interruption.signal.aborted).toBe(true);
    now.mockReturnValue(3_000);
    process.emit("SIGINT");
    expect(exit).toHaveBeenCalledExactlyOnceWith(130);
    const listening = process.listenerCount("SIGINT");
    interruption.dispose();
    expect(process.listenerCount("SIGINT")).toBe(listening - 1);
    vi.restoreAllMocks();
  });
});
