import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { activation_sets } from "../../db/schema.ts";
import { architectures, isBase, isTranscoder } from "../../gpu/sae/architecture.ts";
import type { TrainingConfigInput } from "../../gpu/sae/config.ts";
import { deleteActivationSet } from "../../server/activations/delete.ts";
import { getActivationSet } from "../../server/activations/list.ts";
import { checkRun } from "../../server/runs/check.ts";
import { controlRun } from "../../server/runs/control.ts";
import { createRun } from "../../server/runs/create.ts";
import { getRun } from "../../server/runs/get.ts";
import { listInput, listRuns } from "../../server/runs/list.ts";
import { claimRun } from "../../server/runs/record.ts";
import { addWorker, type TestServices, testServices } from "./api-server.ts";

let test: TestServices;
/** Ids of sets by name. */
let sets: Record<"a" | "b" | "wide" | "short" | "importing", string>;

beforeAll(async () => {
  test = await testServices();
  const made = await test.services.db
    .insert(activation_sets)
    .values(
      [
        { name: "a", d_in: 8, n_tokens: 2_048 },
        { name: "b", d_in: 8, n_tokens: 2_048 },
        { name: "wide", d_in: 24, n_tokens: 2_048 },
        { name: "short", d_in: 8, n_tokens: 1_000 },
      ].map(({ name, ...sizes }) => ({
        name,
        ...sizes,
        hook_name: `blocks.0.${name}`,
        model_name: "gpt2",
        dataset_name: name === "a" ? "one" : "two",
        origin: "x",
        status: "ready" as const,
        bytes: 1,
        sha256: "00",
      })),
    )
    .returning();
  const [importing] = await test.services.db
    .insert(activation_sets)
    .values({ name: "importing", hook_name: "blocks.0.x", origin: "x" })
    .returning();
  sets = Object.fromEntries([...made, importing!].map(({ name, id }) => [name, id])) as typeof sets;
});
afterAll(() => test.close());

const base: TrainingConfigInput = {
  d_in: 8,
  d_sae: 16,
  training_tokens: 8_192,
  train_batch_size_tokens: 256,
};

function stored(ids: string[], config: Partial<TrainingConfigInput> = {}) {
  return {
    name: "stored",
    source: { kind: "activation_set" as const, activation_set_ids: ids },
    config: { ...base, k: config.architecture === undefined ? 2 : undefined, ...config },
  };
}

async function faults(input: Parameters<typeof checkRun>[2]) {
  const { db, env } = test.services;
  return (await checkRun(db, env.home, input)).faults;
}

/** Options that fit sets `a` and then `second`. */
function fitting(architecture: (typeof architectures)[number]): Partial<TrainingConfigInput> {
  const few = { k: 2, target_l0: null };
  if (isTranscoder(architecture)) return { architecture, d_out: 24, ...few };
  if (architecture === "crosscoder") return { architecture, n_hook_points: 2 };
  return {
    architecture,
    ...(["topk", "batchtopk", "matryoshka_batchtopk"].includes(architecture) ? few : {}),
  };
}

describe("sources of every architecture", () => {
  for (const architecture of architectures) {
    it(`${architecture} is accepted on the sets it needs`, async () => {
      const ids = isBase(architecture)
        ? [sets.a]
        : isTranscoder(architecture)
          ? [sets.a, sets.wide]
          : [sets.a, sets.b];
      expect(await faults(stored(ids, fitting(architecture)))).toEqual([]);
    });
  }

  it("synthetic activations feed neither a transcoder nor a crosscoder", async () => {
    for (const architecture of ["transcoder", "skip_transcoder", "crosscoder"] as const) {
      const [fault, ...others] = await faults({
        name: "synthetic",
        source: { kind: "synthetic", synthetic: { d_in: 8 } },
        config: { ...base, ...fitting(architecture), d_out: undefined },
      });
      expect(others).toEqual([]);
      expect(fault).toMatchObject({ path: "source.kind" });
      expect(fault?.message).toMatch(
        /synthetic activations have only one\. Choose activation sets, or a language model\.$/,
      );
    }
  });

  it("the number of sets has to be the architecture's", async () => {
    expect(await faults(stored([sets.a, sets.b]))).toEqual([
      {
        path: "source.activation_set_ids",
        message: "TopK trains on one activation set, but 2 are given; leave one, or choose a crosscoder.",
      },
    ]);
    expect(await faults(stored([sets.a], { ...fitting("transcoder"), d_out: 8 }))).toEqual([
      {
        path: "source.activation_set_ids.1",
        message: "A transcoder needs two activation sets, its input and its target; one is given.",
      },
    ]);
    expect((await faults(stored([sets.a], fitting("crosscoder")))).map(({ path }) => path)).toEqual([
      "source.activation_set_ids.1",
    ]);
  });

  it("rows must be of the same tokens, and a crosscoder's of one width", async () => {
    expect(await faults(stored([sets.a, sets.short], { ...fitting("transcoder"), d_out: 8 }))).toEqual([
      {
        path: "source.activation_set_ids.1",
        message: "“short” has 1,000 rows, but “a” has 2,048; row by row they must come from the same tokens.",
      },
    ]);
    expect(await faults(stored([sets.a, sets.wide], fitting("crosscoder")))).toEqual([
      {
        path: "source.activation_set_ids.1",
        message: "“wide” has width 24, but “a” has 8; all hook points of a crosscoder have one width.",
      },
    ]);
  });

  it("a set is not taken twice, nor before it is ready", async () => {
    expect(await faults(stored([sets.a, sets.a], fitting("crosscoder")))).toEqual([
      {
        path: "source.activation_set_ids.1",
        message: "“a” is chosen twice; choose another set here.",
      },
    ]);
    expect(await faults(stored([sets.a, sets.importing], fitting("transcoder")))).toEqual([
      {
        path: "source.activation_set_ids.1",
        message: "“importing” is still being imported; wait until it is ready.",
      },
    ]);
  });

  it("widths and number of hook points are said at their options", async () => {
    const d_out = await faults(stored([sets.a, sets.wide], { ...fitting("transcoder"), d_out: 8 }));
    expect(d_out).toEqual([
      { path: "config.d_out", message: "d_out is 8, but the target's activations have width 24." },
    ]);
    const points = await faults(stored([sets.a, sets.b], { ...fitting("crosscoder"), n_hook_points: 3 }));
    expect(points).toEqual([
      { path: "config.n_hook_points", message: "n_hook_points is 3, but the source has 2." },
    ]);
  });

  it("options of another architecture are refused at their place", async () => {
    const [fault] = await faults(stored([sets.a], { architecture: "gated", k: 3 }));
    expect(fault).toEqual({
      path: "config.k",
      message: "k is 3, but it has no effect here (gated); leave it out.",
    });
  });
});

describe("a run on several sets", () => {
  it("keeps their order, is named after them, and none of them can be deleted", async () => {
    const { db, queue, env } = test.services;
    const input = {
      ...stored([sets.wide, sets.a], { ...fitting("transcoder"), d_in: 24, d_out: 8 }),
      name: "pair",
    };
    const { id } = await createRun(db, queue, env.home, input);
    const run = await getRun(db, { id });
    expect(run).toMatchObject({
      architecture: "transcoder",
      hook_name: "blocks.0.wide",
      d_in: 24,
      d_out: 8,
      sparsity: "k 2",
      model_name: "gpt2",
      dataset_name: null,
      source: { name: "wide → a", activation_sets: [{ name: "wide" }, { name: "a" }] },
      run_source: { kind: "activation_set", activation_set_ids: [sets.wide, sets.a] },
    });
    for (const [name, setId] of [
      ["wide", sets.wide],
      ["a", sets.a],
    ] as const) {
      await expect(deleteActivationSet(db, env.home, { id: setId })).rejects.toThrow(
        `“${name}” is used by “pair”; delete those runs first.`,
      );
      expect((await getActivationSet(db, { id: setId })).runs).toBe(1);
    }
    const filtered = await listRuns(db, listInput.parse({ dataset: "one", architecture: ["transcoder"] }));
    expect(filtered.items.map(({ name }) => name)).toEqual(["pair"]);
    expect((await listRuns(db, listInput.parse({ architecture: ["topk"] }))).items).toEqual([]);

    const claim = await claimRun(db, id, { id: await addWorker(test.services) });
    expect(claim?.sets.map(({ hook_name }) => hook_name)).toEqual(["blocks.0.wide", "blocks.0.a"]);
    await expect(controlRun(db, queue, env.home, { id, control: "cancel" })).rejects.toThrow();
  });

  it("is described by what keeps its features few", async () => {
    const { db, queue, env } = test.services;
    const described = async (config: Partial<TrainingConfigInput>) => {
      const { id } = await createRun(db, queue, env.home, stored([sets.b], config));
      return (await getRun(db, { id })).sparsity;
    };
    expect(await described({ architecture: "standard" })).toBe("L1 5");
    expect(await described({ architecture: "gated", target_l0: 3 })).toBe("target L0 3");
    expect(await described({ architecture: "jumprelu" })).toBe("L0 coefficient 1");
    expect(await described({ architecture: "batchtopk", k: 2.5 })).toBe("k 2.5");
    expect(await described({ architecture: "topk", k: 2, k_anneal_from: 8, k_anneal_steps: 4 })).toBe(
      "k 8 to 2",
    );
  });
});
