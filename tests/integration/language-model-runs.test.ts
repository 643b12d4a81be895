import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../../server/cli/commands.ts";
import { createFacetClient } from "../../server/client.ts";
import type { CreateRunInput } from "../../server/runs/check.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { readyDatasetOf, readyModelOf, readyTokenizationOf } from "./language-models.ts";
import { type Program, until } from "./processes.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";
import { tiny } from "./tiny-model.ts";
import { metricSteps, startWorker, untilEnded, untilRun } from "./worker-runs.ts";

let test: TestServices;
let server: ApiServer;
let worker: Program;
let model_id: string;
let dataset_id: string;
let tokenization_id: string;
beforeAll(async () => {
  test = await testServices({ FACET_ADAPTER: "software" });
  server = await serveApi(test.services);
  worker = startWorker(test);
  model_id = await readyModelOf(test, "Tiny");
  dataset_id = await readyDatasetOf(test, "Words");
  tokenization_id = await readyTokenizationOf(test, { model_id, dataset_id });
});
afterAll(async () => {
  worker.signal("SIGKILL");
  await worker.ended;
  await server.close();
  await test.close();
});
const api = () => createFacetClient({ url: server.url }).api;
const hook = "blocks.1.hook_resid_post";

type LiveInput = Extract<CreateRunInput["source"], { kind: "live" }>;

function liveRun(
  name: string,
  overrides: { hooks?: string[]; source?: Partial<LiveInput>; config?: object } = {},
): CreateRunInput {
  const { hooks = [hook], source = {}, config = {} } = overrides;
  return {
    name,
    source: { kind: "live", model_id, tokenization_id, hooks, ...source },
    config: {
      d_in: tiny.d_model,
      d_sae: 32,
      k: 4,
      lr: 3e-3,
      train_batch_size_tokens: 32,
      training_tokens: 32 * 60,
      n_batches_for_norm_estimate: 4,
      metrics_every_steps: 5,
      checkpoint_every_steps: 20,
      ...config,
    },
  };
}

describe("checking a live run", () => {
  const faults = async (input: CreateRunInput) => (await api().runs.check.query(input)).faults;

  it("names what is wrong with model, tokens and hook points at their paths", async () => {
    expect(await faults(liveRun("fine"))).toEqual([]);
    expect(await faults(liveRun("unknown", { hooks: ["blocks.9.hook_resid_post"] }))).toMatchObject([
      { path: "source.hooks.0", message: expect.stringMatching(/has no hook point "blocks\.9/) },
    ]);
    expect(await faults(liveRun("wide", { hooks: ["blocks.0.mlp.hook_post"] }))).toEqual([
      { path: "config.d_in", message: "d_in is 16, but the source's activations have width 64." },
    ]);
    expect(await faults(liveRun("two", { hooks: [hook, "hook_embed"] }))).toMatchObject([
      { path: "source.hooks" },
    ]);
    const transcoder = { architecture: "transcoder", d_out: tiny.d_model };
    expect(await faults(liveRun("one side", { config: transcoder }))).toMatchObject([
      { path: "source.hooks.1" },
    ]);
    const crosscoder = { architecture: "crosscoder", base_architecture: "topk", n_hook_points: 2 };
    expect(
      await faults(liveRun("widths", { hooks: [hook, "blocks.0.mlp.hook_post"], config: crosscoder })),
    ).toMatchObject([{ path: "source.hooks.1", message: expect.stringMatching(/have one width/) }]);
    expect(await faults(liveRun("twice", { hooks: [hook, hook], config: crosscoder }))).toMatchObject([
      { path: "source.hooks.1", message: `${hook} is chosen twice; choose another hook point here.` },
    ]);
    expect(
      await faults(
        liveRun("measured", {
          hooks: [hook, "hook_embed"],
          config: crosscoder,
          source: { eval_every_steps: 5 },
        }),
      ),
    ).toMatchObject([{ path: "source.eval_every_steps", message: expect.stringMatching(/^A crosscoder/) }]);
    expect(
      await faults(liveRun("seldom", { source: { eval_every_steps: 0, eval_sequences: 1.5 } })),
    ).toMatchObject([{ path: "source.eval_every_steps" }, { path: "source.eval_sequences" }]);
    const none = "019ab000-0000-7000-8000-000000000000";
    const gone = {
      ...liveRun("gone"),
      source: { kind: "live" as const, model_id: none, tokenization_id: none, hooks: [hook] },
    };
    expect(await faults(gone)).toMatchObject([
      { path: "source.model_id" },
      { path: "source.tokenization_id" },
    ]);
  });

  it("plans the model's memory too", async () => {
    await until("the worker is ready", async () => (await api().system.status.query()).workers.length > 0);
    const { memory } = await api().runs.check.query(liveRun("planned"));
    const source = memory?.parts.find(({ name }) => name === "Source")?.bytes ?? 0;
    const { memory: weights } = await api().models.get.query({ id: model_id });
    expect(source).toBeGreaterThan(weights!.f32);
    const halves = await api().runs.check.query(
      liveRun("halves", { source: { precision: "f16", eval_every_steps: 5 } }),
    );
    const part = (name: string) => halves.memory?.parts.find((one) => one.name === name)?.bytes ?? 0;
    expect(part("Source")).toBeLessThan(source - weights!.f16 / 2);
    expect(part("Evaluation in the model")).toBeGreaterThan(weights!.f16);
  });
});

describe("a live run", () => {
  it("trains, leaves an SAE that is measured in its model, and keeps model and tokens from being deleted", async () => {
    const { id } = await api().runs.create.mutate(liveRun("Live"));
    const run = await untilEnded(test, id, worker);
    expect(run).toMatchObject({
      status: "completed",
      hook_name: hook,
      model_name: "Tiny",
      dataset_name: "Words",
      run_source: { kind: "live", model_id, tokenization_id, hooks: [hook] },
      source: {
        kind: "live",
        name: "Tiny on Words, 16 tokens",
        activation_sets: [],
        live: { model: { id: model_id }, tokenization: { id: tokenization_id }, dataset: { id: dataset_id } },
      },
    });
    const sae = await api().saes.get.query({ id: run.sae!.id });
    expect(sae).toMatchObject({ model_name: "Tiny", dataset_name: "Words", hook_name: hook });
    const [evaluation] = sae.evaluations;
    const held = (await api().tokenizations.get.query({ id: tokenization_id })).held_out_sequences!;
    expect(evaluation).toMatchObject({
      kind: "model",
      status: "done",
      subject: {
        model: { id: model_id, name: "Tiny" },
        tokenization: { id: tokenization_id },
        hook_name: hook,
      },
      n_sequences: held,
      model_result: { n_sequences: held },
    });
    const { ce_clean, ce_spliced, delta_ce, kl, l0 } = evaluation!.model_result!;
    expect(delta_ce).toBeCloseTo(ce_spliced - ce_clean, 6);
    expect(kl).toBeGreaterThan(0);
    expect(l0).toBeLessThan(4.001);

    expect((await api().runs.list.query({ model: "Tiny", dataset: "Words" })).items).toMatchObject([{ id }]);
    await expect(api().models.delete.mutate({ id: model_id })).rejects.toThrow(/the run “Live”|and \d more/);
    await expect(api().tokenizations.delete.mutate({ id: tokenization_id })).rejects.toThrow(
      "“Words, 16 tokens” is used by the run “Live”; delete those first.",
    );
    expect((await api().tokenizations.get.query({ id: tokenization_id })).uses.runs).toBe(1);

    const rates = await api().runs.predict.query({
      model_id,
      tokenization_id,
      hooks: [hook],
      training_tokens: 10_000,
    });
    expect(rates.live.rate?.from).toMatch(/^measured in “Live” on /);
    expect(rates.live.seconds).toBeCloseTo(10_000 / rates.live.rate!.tokens_per_second, 6);
    expect(rates.disk).toMatchObject({ rate: null, capture_rate: null, seconds: null });
    const { bytes } = await api().captures.estimate.query({ model_id, tokenization_id, hooks: [hook] });
    expect(rates.disk.bytes).toBe(bytes);
    expect(rates.advice).toMatch(/^Train from disk/);
  });

  it("is resumed after its worker was killed, and comes to the very same SAE", async () => {
    const config = { training_tokens: 32 * 120, seed: 5 };
    const source = { eval_every_steps: 20, eval_sequences: 3 };
    const whole = await api().runs.create.mutate(liveRun("Undisturbed", { config, source }));
    const expected = await untilEnded(test, whole.id, worker);
    const { id } = await api().runs.create.mutate(liveRun("Killed", { config, source }));
    await untilRun(test, id, worker, "a checkpoint stands", (run) => run.checkpoints.length > 0);
    worker.signal("SIGKILL");
    await worker.ended;
    worker = startWorker(test);
    const resumed = await untilEnded(test, id, worker);
    expect(resumed.status).toBe("completed");
    expect(resumed.attempt).toBeGreaterThan(1);
    expect(resumed.sae!.sha256).toBe(expected.sae!.sha256);
    expect(await metricSteps(test, id)).toEqual(Array.from({ length: 24 }, (_, index) => 5 * (index + 1)));

    const { rows } = await api().runs.modelEvaluations.query({ id });
    expect(rows).toEqual((await api().runs.modelEvaluations.query({ id: whole.id })).rows);
    expect(rows.map(({ step }) => step)).toEqual([20, 40, 60, 80, 100, 120]);
    expect(rows.every(({ n_sequences, kl }) => n_sequences === 3 && kl > 0)).toBe(true);
    expect(rows.at(-1)!.kl).toBeLessThan(rows[0]!.kl);
    const [last] = (await api().saes.get.query({ id: resumed.sae!.id })).evaluations;
    expect(last).toMatchObject({ n_sequences: 3, precision: "f32", model_result: { kl: rows.at(-1)!.kl } });
    const log = (await api().runs.events.query({ id })).events.map(({ type }) => type);
    expect(log).toContain("checkpoint");
    expect(log).not.toContain("evaluation");
    const few = await api().runs.modelEvaluations.query({ id, points: 3 });
    expect(few.rows.map(({ step }) => step)).toEqual([40, 80, 120]);
  });
});

describe("evaluating in a model", () => {
  it("is done by a worker and comes to the same figures; refuses what does not fit", async () => {
    const { items } = await api().saes.list.query({ text: "Live" });
    const { id } = items[0]!;
    const asked = await api().saes.evaluateInModel.mutate({
      id,
      model_id,
      tokenization_id,
      n_sequences: 1_000,
    });
    const evaluations = await until("the evaluation ends", async () => {
      const { evaluations } = await api().saes.get.query({ id });
      return evaluations.find((one) => one.id === asked.id)?.status === "done" && evaluations;
    });
    expect(evaluations[0]!.model_result).toEqual(evaluations[1]!.model_result);

    const ask = (hook_name: string) =>
      api().saes.evaluateInModel.mutate({ id, model_id, tokenization_id, hook_name });
    await expect(ask("blocks.0.mlp.hook_post")).rejects.toThrow(
      /has width 64, but the SAE's input has width 16/,
    );
    await expect(ask("blocks.0.ln1.hook_normalized")).rejects.toThrow(/ln1\.hook_normalized/);
    await expect(ask("blocks.7.hook_embed")).rejects.toThrow(/has no hook point/);
    const other = await readyTokenizationOf(test, { model_id, dataset_id }, { context_size: 8, held_out: 0 });
    await expect(api().saes.evaluateInModel.mutate({ id, model_id, tokenization_id: other })).rejects.toThrow(
      /holds no sequences out of training/,
    );
  });
});

describe("the command line", () => {
  const facet = async (...words: string[]) => {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    const code = await runCommand([...words, "--url", server.url], {
      out: write,
      err: write,
      terminal: false,
    });
    return { code, text: lines.join("\n") };
  };

  it("trains a transcoder live by its hook points alone, and evaluates it in its model", async () => {
    const source = ["--model", model_id, "--tokenization", tokenization_id];
    const hooks = "blocks.1.hook_mlp_in,blocks.1.hook_mlp_out";
    const made = await facet(
      ...[
        "runs",
        "create",
        "By hand",
        ...source,
        "--hooks",
        hooks,
        "--architecture",
        "transcoder",
        "--watch",
      ],
      ...["--d_sae", "32", "--k", "4", "--train_batch_size_tokens", "32", "--training_tokens", "640"],
      ...["--model-precision", "int8", "--eval-every", "10", "--eval-sequences", "1000"],
    );
    expect(made).toMatchObject({
      code: 0,
      text: expect.stringMatching(/^step 10, within the model: loss .* recovered.*$[\s\S]*completed/m),
    });
    const { items } = await api().saes.list.query({ text: "By hand" });
    expect(items).toMatchObject([{ architecture: "transcoder", hook_name: "blocks.1.hook_mlp_in" }]);
    const evaluated = await facet("saes", "evaluate", items[0]!.id, ...source, "--precision", "int8");
    expect(evaluated.text).toMatch(/^Tiny on Words, 16 tokens: CE \d.* loss recovered .* KL /);
    const { evaluations, run } = await api().saes.get.query({ id: items[0]!.id });
    expect(evaluations.map(({ precision }) => precision)).toEqual(["int8", "int8"]);
    expect(evaluations[0]!.model_result).toEqual(evaluations[1]!.model_result);
    const made_of = (await api().runs.get.query({ id: run!.id })).run_source;
    expect(made_of).toMatchObject({ precision: "int8", eval_every_steps: 10, eval_sequences: 1_000 });
    // The same text as in f32, but not quite the same model.
    const whole = (await api().saes.list.query({ text: "Live" })).items.find(({ name }) => name === "Live")!;
    const exact = (await api().saes.get.query({ id: whole.id })).evaluations.at(-1);
    const [a, b] = [evaluations[0]!.model_result!, exact!.model_result!];
    expect(a.n_predictions).toBe(b.n_predictions);
    expect(a.ce_clean).not.toBe(b.ce_clean);
    expect(a.ce_clean).toBeCloseTo(b.ce_clean, 1);
    expect((await facet("runs", "create", "Half", "--model", model_id)).code).toBe(2);
  });
});
