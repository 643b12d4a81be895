import { afterAll, beforeAll, expect, test } from "vitest";
import { LiveSource } from "../../gpu/data/live-source.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import type { TrainingConfigInput } from "../../gpu/sae/config.ts";
import { createTrainerGroup, type TrainerGroup } from "../../gpu/sae/trainer-group.ts";
import { ArraySource } from "../reference/array-source.ts";
import { variants } from "../reference/lm/variants.ts";
import { weightsOf } from "./lm-models.ts";
import { packedTokens } from "./lm-tokens.ts";
import { plantedActivations } from "./planted-activations.ts";
import { configure, train } from "./training.ts";

const d_in = 18 + 7 + 18;
const rows = plantedActivations(900, d_in, 5);
const source = new ArraySource(rows, d_in);

/** Some columns of the rows, as a source of their own. */
function columnsAlone(first: number, width: number): ArraySource {
  const own = new Float32Array(900 * width);
  for (let row = 0; row < 900; row++) {
    own.set(rows.subarray(row * d_in + first, row * d_in + first + width), row * width);
  }
  return new ArraySource(own, width);
}

const short = (given: Partial<TrainingConfigInput>) =>
  configure({ training_tokens: 6 * 45, b_dec_init_method: "mean", ...given });

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  gpu.close();
});

async function finish(group: TrainerGroup) {
  while (group.step < group.totalSteps) await group.advance();
  await group.drain();
  return Promise.all(group.members.map(({ trainer }) => trainer.snapshot()));
}

test("members of some columns train as if these were all there is, and others on the whole row", async () => {
  const used = gpu.ledger.used;
  const configs = [
    short({ d_in: 18 }),
    short({ d_in: 7, d_sae: 20, architecture: "batchtopk", k: 2 }),
    short({ d_in: 18, d_sae: 33, lr: 3e-3 }),
    short({ d_in: 7, architecture: "transcoder", d_out: 18, d_sae: 30, k: 3 }),
    short({ d_in: 43 }),
  ];
  const columns = [[0, 18], [18, 7], [0, 18], [18, 25], null] as const;
  const group = await createTrainerGroup({ gpu, configs, source, columns });
  expect(group.members.map((member) => member.columns)).toEqual(columns);
  const states = await finish(group);
  const evaluations = [];
  for (const { trainer } of group.members) evaluations.push(await trainer.evaluate(90));
  group.close();
  expect(gpu.ledger.used).toBe(used);
  for (const [i, config] of configs.entries()) {
    const [first, width] = columns[i] ?? [0, d_in];
    const alone = columnsAlone(first, width);
    const { final } = await train(gpu, config, { source: alone });
    expect(states[i], `member ${i}`).toEqual(final);
    expect(evaluations[i]!.tokens).toBe(90);
  }
  expect(new Set(evaluations.map(({ fvu }) => fvu)).size).toBe(configs.length);
});

test("a member of all columns by their numbers is one of the whole row", async () => {
  const config = short({ d_in });
  const states = [];
  for (const columns of [[[0, d_in]] as const, undefined]) {
    const group = await createTrainerGroup({ gpu, configs: [config], source, ...(columns && { columns }) });
    expect(group.members[0]!.columns).toBeNull();
    states.push(await finish(group));
    group.close();
  }
  expect(states[0]).toEqual(states[1]);
});

test("columns that are not there, or not as wide as the SAE reads, are refused before anything is taken", async () => {
  const used = gpu.ledger.used;
  const config = short({ d_in: 18 });
  const refuse = (columns: (readonly [number, number] | null)[], configs = [config]) =>
    expect(createTrainerGroup({ gpu, configs, source, columns })).rejects;
  await refuse([[30, 18]]).toThrow(/Columns 30 to 48/);
  await refuse([[-1, 18]]).toThrow(RangeError);
  await refuse([[0.5, 18]]).toThrow(RangeError);
  await refuse([[0, 17]]).toThrow(/18 columns/);
  await refuse([null]).toThrow(/rows of 18 columns/);
  await refuse([]).toThrow(/0 ranges/);
  const other = short({ d_in: 7, train_batch_size_tokens: 30, training_tokens: 180 });
  await refuse(
    [
      [0, 18],
      [18, 7],
    ],
    [config, other],
  ).toThrow(/train_batch_size_tokens/);
  expect(gpu.ledger.used).toBe(used);
});

test("SAEs at several hook points of a live model train from one pass, each as if alone", async () => {
  const model = variants().find(({ name }) => name === "gpt_neox parallel")!;
  const { tokens } = packedTokens(model.config, 9, 16);
  const live = (hooks: string[]) =>
    new LiveSource({
      spec: describeModel(model.config),
      weights: weightsOf(model),
      tokens,
      hooks,
      seed: 2,
      held_out_sequences: 2,
      bufferTokens: 64,
    });
  const hooks = ["blocks.0.mlp.hook_post", "blocks.1.hook_resid_pre"];
  const configs = [40, 24].map((width) =>
    configure({ d_in: width, train_batch_size_tokens: 20, training_tokens: 100, d_sae: 50 }),
  );
  const group = await createTrainerGroup({
    ...{ gpu, configs, source: live(hooks) },
    columns: [
      [0, 40],
      [40, 24],
    ],
  });
  const states = await finish(group);
  group.close();
  for (const [i, config] of configs.entries()) {
    const { final } = await train(gpu, config, { source: live([hooks[i]!]) });
    expect(states[i]).toEqual(final);
  }
});
