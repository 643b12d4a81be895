import { describe, expect, it } from "vitest";
import type { WorkProgress } from "../../db/stored.ts";
import { createBackground } from "../../server/background.ts";
import { startRowWork, type WorkColumns, type WorkStep } from "../../server/row-work.ts";
import { GpuTurn } from "../../server/worker/gpu-turn.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Ends when its signal is aborted, or when it is let go. */
function held(log: string[], name: string) {
  let letGo: () => void = () => undefined;
  const work = async (signal: AbortSignal) => {
    log.push(`${name} begins`);
    await new Promise<void>((resolve) => {
      letGo = resolve;
      signal.addEventListener("abort", () => resolve());
    });
    log.push(`${name} ends`);
  };
  return { work, letGo: () => letGo() };
}

describe("work in the background", () => {
  it("does what has one key one after another, and others beside it", async () => {
    const log: string[] = [];
    const background = createBackground((error) => log.push(error.message));
    const [first, second, other] = [held(log, "first"), held(log, "second"), held(log, "other")];
    background.start(first.work, "a");
    background.start(second.work, "a");
    background.start(other.work, "b");
    await pause(5);
    expect(log).toEqual(["first begins", "other begins"]);
    first.letGo();
    await pause(5);
    expect(log.slice(2)).toEqual(["first ends", "second begins"]);
    await background.cancel("a");
    expect(log.slice(4)).toEqual(["second ends"]);
    await background.cancel("nothing of that name");
    await background.close();
    expect(log.at(-1)).toBe("other ends");
  });

  it("tells of an error that a task let escape", async () => {
    const errors: string[] = [];
    const background = createBackground((error) => errors.push(error.message));
    background.start(() => Promise.reject(new Error("escaped")));
    await background.close();
    expect(errors).toEqual(["escaped"]);
  });
});

describe("work that stands in a row", () => {
  interface Row {
    writes: WorkColumns[];
    mine: boolean;
    ended: string[];
  }

  function start(work: (signal: AbortSignal, report: (step: WorkStep) => void) => Promise<string>) {
    const background = createBackground(() => undefined);
    const row: Row = { writes: [], mine: true, ended: [] };
    startRowWork<string>({
      background,
      key: "a",
      work,
      async write(columns) {
        if (row.mine) row.writes.push(columns);
        return row.mine;
      },
      async finish(result) {
        if (row.mine) row.ended.push(result);
        return row.mine;
      },
      async discard() {
        row.ended.push("discarded");
      },
    });
    return { background, row };
  }

  it("writes how far it is, with its rate, and what it came to", async () => {
    const { background, row } = start(async (_signal, report) => {
      for (let done = 0; done <= 10; done++) {
        report({ stage: "copying", done, total: 10, unit: "bytes", note: null });
        await pause(120);
      }
      return "done";
    });
    await pause(1_450);
    const seen = row.writes.flatMap(({ progress }) => (progress ? [progress] : []));
    expect(seen.length).toBeGreaterThanOrEqual(2);
    const last: WorkProgress = seen.at(-1)!;
    expect(last).toMatchObject({ stage: "copying", total: 10, unit: "bytes" });
    expect(last.per_second).toBeGreaterThan(4);
    expect(last.per_second).toBeLessThan(12);
    expect(row.ended).toEqual(["done"]);
    await background.close();
  });

  it("ends when the row is not its own any more, and takes away what it made in vain", async () => {
    const { background, row } = start(async (signal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw signal.reason;
    });
    row.mine = false;
    await pause(700);
    expect(row).toEqual({ writes: [], mine: false, ended: [] });
    await background.close();
    const late = start(async () => "done");
    late.row.mine = false;
    await late.background.cancel("a");
    expect(late.row.ended).toEqual([]);
    const done = start(async () => {
      await pause(10);
      return "done";
    });
    done.row.mine = false;
    await pause(30);
    expect(done.row.ended).toEqual(["discarded"]);
    await done.background.close();
  });

  it("keeps why it failed, and that the server ended", async () => {
    const failed = start(() => Promise.reject(new Error("The disk is full.")));
    await pause(5);
    expect(failed.row.writes).toMatchObject([{ status: "failed", reason: "The disk is full." }]);
    const cut = start(async (signal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw new Error("Something else.");
    });
    await pause(5);
    await cut.background.close();
    expect(cut.row.writes.at(-1)).toMatchObject({ status: "failed", reason: "The server is being stopped." });
  });
});

describe("the GPU's turns", () => {
  it("are one at a time, and given back where they do not come in time", async () => {
    const turn = new GpuTurn();
    const log: string[] = [];
    const task = (name: string, ms: number) => async () => {
      log.push(`${name} begins`);
      await pause(ms);
      log.push(`${name} ends`);
    };
    const first = turn.take(task("first", 60));
    expect(await turn.take(task("hasty", 1), 10)).toBe(false);
    const others = Promise.all([turn.take(task("second", 5)), turn.take(task("third", 5), 1_000)]);
    expect(await first).toBe(true);
    expect(await others).toEqual([true, true]);
    expect(
      log.map((line, at) => (at % 2 === 0 ? line.endsWith("begins") : line.endsWith("ends"))),
    ).not.toContain(false);
    expect(log).toHaveLength(6);
  });

  it("go on after a task that failed", async () => {
    const turn = new GpuTurn();
    await expect(turn.take(() => Promise.reject(new Error("lost")))).rejects.toThrow("lost");
    await turn.free();
    expect(await turn.take(async () => undefined, 0)).toBe(true);
  });
});
