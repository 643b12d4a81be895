import { eq } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { activation_sets, run_activation_sets, runs } from "../../db/schema.ts";
import { createRun } from "../../server/runs/create.ts";
import { listInput, listRuns } from "../../server/runs/list.ts";
import { runStatuses } from "../../server/runs/views.ts";
import { syntheticRun, type TestServices, testServices } from "./api-server.ts";

let test: TestServices;
const names = ["Alpha", "beta", "Gamma 100%", "delta", "Epsilon", "zeta_1", "eta", "Theta", "iota", "Kappa"];
beforeAll(async () => {
  test = await testServices();
  const { db } = test.services;
  const sets = await db
    .insert(activation_sets)
    .values(
      ["gpt2", "pythia"].map((model) => ({
        name: `${model} set`,
        hook_name: "blocks.0.hook_resid_post",
        model_name: model,
        dataset_name: `${model}-data`,
        origin: "x",
        status: "ready" as const,
        n_tokens: 10,
        d_in: 32,
        bytes: 1,
        sha256: "00",
      })),
    )
    .returning();
  for (const [index, name] of names.entries()) {
    const id = await add(name);
    await db
      .update(runs)
      .set({
        // Ties, and runs without a value.
        fvu: index % 3 === 0 ? null : (index % 4) / 4,
        status: index % 5 === 0 ? "paused" : index % 5 === 1 ? "running" : "queued",
        ...(index % 2 === 0 ? {} : { source_kind: "activation_set" as const, synthetic: null }),
      })
      .where(eq(runs.id, id));
    if (index % 2 === 1) {
      const activation_set_id = sets[index % 4 === 1 ? 0 : 1]!.id;
      await db.insert(run_activation_sets).values({ run_id: id, position: 0, activation_set_id });
    }
  }
});
afterAll(() => test.close());

async function add(name: string): Promise<string> {
  const { db, queue, env } = test.services;
  const input = { ...syntheticRun(name), description: name === "eta" ? "about alpha" : "" };
  return (await createRun(db, queue, env.home, input)).id;
}

const list = (input: Parameters<typeof listInput.parse>[0]) =>
  listRuns(test.services.db, listInput.parse(input));

async function allPages(input: object, between?: () => Promise<void>): Promise<string[]> {
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof list>> = await list({ ...input, cursor, limit: 3 });
    seen.push(...page.items.map((run) => run.name));
    cursor = page.next_cursor;
    await between?.();
  } while (cursor !== null);
  return seen;
}

describe("the list of runs", () => {
  for (const by of ["created_at", "name", "status", "fvu"] as const) {
    for (const direction of ["asc", "desc"] as const) {
      it(`pages by ${by} ${direction} without gap or repetition`, async () => {
        const whole = (await list({ sort: { by, direction }, limit: 200 })).items.map((run) => run.name);
        expect(new Set(whole).size).toBe(names.length);
        expect(await allPages({ sort: { by, direction } })).toEqual(whole);
      });
    }
  }

  it("sorts by name ignoring case, and puts runs without an FVU last either way", async () => {
    const byName = await list({ sort: { by: "name", direction: "asc" } });
    expect(byName.items.map((run) => run.name)).toEqual(
      [...names].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)),
    );
    for (const direction of ["asc", "desc"] as const) {
      const { items } = await list({ sort: { by: "fvu", direction } });
      expect(
        items
          .slice(-4)
          .map((run) => run.name)
          .sort(),
      ).toEqual(["Alpha", "Kappa", "delta", "eta"]);
    }
  });

  it("filters by text, status, model and dataset; counts and totals are of the filtered", async () => {
    const found = await list({ text: "ALPHA" });
    expect(found.items.map((run) => run.name).sort()).toEqual(["Alpha", "eta"]);
    expect((await list({ text: "100%" })).items).toHaveLength(1);
    expect((await list({ text: "_" })).items.map((run) => run.name)).toEqual(["zeta_1"]);
    const gpt2 = await list({ model: "gpt2" });
    expect(gpt2.items.every((run) => run.model_name === "gpt2")).toBe(true);
    expect(gpt2.items).toHaveLength((await list({ dataset: "gpt2-data" })).items.length);
    const paused = await list({ status: ["paused"], limit: 1 });
    expect(paused).toMatchObject({ total: 2, counts: { paused: 2, running: 2, queued: 6, failed: 0 } });
    expect(Object.keys(paused.counts)).toEqual([...runStatuses]);
  });

  it("is stable while runs are made in between", async () => {
    let made = 0;
    const seen = await allPages({ sort: { by: "created_at", direction: "desc" } }, async () => {
      await add(`new ${made++}`);
    });
    expect(seen).toEqual([...names].reverse());
  });

  it("refuses a page mark of another list", async () => {
    const { next_cursor } = await list({ limit: 1 });
    for (const cursor of [next_cursor, "nonsense", Buffer.from("{}").toString("base64url")]) {
      await expect(list({ cursor, sort: { by: "name", direction: "asc" } })).rejects.toMatchObject({
        name: "InvalidInputError",
      });
    }
  });
});
