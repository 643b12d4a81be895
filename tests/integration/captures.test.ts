import { access, readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CaptureView } from "../../server/captures/views.ts";
import { runCommand } from "../../server/cli/commands.ts";
import { createFacetClient, faultsOf } from "../../server/client.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { readyDatasetOf, readyModelOf, readyTokenizationOf } from "./language-models.ts";
import { type Program, until } from "./processes.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";
import { tiny } from "./tiny-model.ts";
import { startWorker, untilEnded } from "./worker-runs.ts";

let test: TestServices;
let server: ApiServer;
let home: string;
let worker: Program;
let model_id: string;
let tokenization_id: string;
/** Of a text long enough to be cut in the middle. */
let long_id: string;
beforeAll(async () => {
  test = await testServices({ FACET_ADAPTER: "software" });
  server = await serveApi(test.services);
  home = test.services.env.home;
  worker = startWorker(test);
  model_id = await readyModelOf(test, "Tiny");
  const dataset_id = await readyDatasetOf(test, "Words");
  tokenization_id = await readyTokenizationOf(test, { model_id, dataset_id });
  const long = await readyDatasetOf(test, "Long", 500);
  long_id = await readyTokenizationOf(test, { model_id, dataset_id: long });
});
afterAll(async () => {
  worker.signal("SIGKILL");
  await worker.ended;
  await server.close();
  await test.close();
});
const api = () => createFacetClient({ url: server.url }).api;
const hooks = ["blocks.1.hook_resid_post", "blocks.0.hook_mlp_out"];

function captured(id: string, look: (capture: CaptureView) => boolean): Promise<CaptureView> {
  return until(`the capture is so; ${worker.output().slice(-2_000)}`, async () => {
    const capture = await api().captures.get.query({ id });
    return look(capture) && capture;
  });
}
const untilDone = (id: string) => captured(id, ({ status }) => status !== "queued" && status !== "running");

describe("a capture", () => {
  it("says what it takes, becomes a set per hook point, and trains a run as live activations do", async () => {
    const subject = { model_id, tokenization_id, hooks, dtype: "float32" as const };
    const estimate = await api().captures.estimate.query(subject);
    const tokens = await api().tokenizations.get.query({ id: tokenization_id });
    const all = 16 * tokens.n_sequences!;
    expect(estimate).toMatchObject({ tokens: all, seconds: null });
    expect(estimate.seconds_note).toMatch(/not known yet/);

    const made = await api().captures.create.mutate({ ...subject, name: "First" });
    const capture = await untilDone(made.id);
    expect(capture).toMatchObject({
      status: "done",
      reason: null,
      name: "First",
      model: { id: model_id, name: "Tiny" },
      tokenization: { id: tokenization_id },
      progress: { done: all, total: all, unit: "tokens" },
      worker: { adapter: expect.any(String) },
      sets: hooks.map((hook_name, index) => ({
        id: made.activation_set_ids[index],
        hook_name,
        status: "ready",
      })),
    });
    expect(capture.tokens_per_second).toBeGreaterThan(0);
    const set = await api().activationSets.get.query({ id: made.activation_set_ids[0]! });
    expect(set).toMatchObject({
      status: "ready",
      progress: 1,
      model_id,
      tokenization_id,
      capture_id: made.id,
      model_name: "Tiny",
      dataset_name: "Words",
      hook_name: hooks[0],
      d_in: tiny.d_model,
      source_dtype: "F32",
    });
    expect(set.n_tokens! + set.held_out_tokens!).toBe(tokens.n_text_tokens);
    const { sequences } = await api().tokenizations.sequences.query({
      id: tokenization_id,
      start: tokens.n_sequences! - tokens.held_out_sequences!,
      count: 50,
    });
    const text = sequences.flatMap((one) => one.tokens.filter(({ kind }) => kind === "text"));
    expect(set.held_out_tokens).toBe(text.length);
    for (const [index, id] of made.activation_set_ids.entries()) {
      const folder = path.join(home, "activation_sets", id);
      const files = (await readdir(folder)).filter((name) => name !== "manifest.json");
      const sizes = await Promise.all(files.map(async (name) => (await stat(path.join(folder, name))).size));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      expect(estimate.sets[index]).toEqual({ hook_name: hooks[index], width: tiny.d_model, bytes });
      expect((await api().activationSets.get.query({ id })).bytes).toBe(bytes);
    }
    expect(estimate.bytes).toBe(estimate.sets.reduce((sum, { bytes }) => sum + bytes, 0));
    const again = await api().captures.estimate.query(subject);
    expect(again.seconds).toBeGreaterThan(0);
    expect(again.seconds_note).toMatch(/measured in “First” on /);

    const config = {
      d_in: tiny.d_model,
      d_sae: 32,
      k: 4,
      train_batch_size_tokens: 32,
      training_tokens: 32 * 40,
    };
    const source = { kind: "activation_set" as const, activation_set_ids: [made.activation_set_ids[0]!] };
    const run = await api().runs.create.mutate({ name: "From disk", source, config });
    const ended = await untilEnded(test, run.id, worker);
    expect(ended).toMatchObject({ status: "completed", model_name: "Tiny", hook_name: hooks[0] });
    // What was never trained on is what it is measured on.
    const asked = await api().saes.evaluate.mutate({ id: ended.sae!.id, activation_set_ids: [set.id] });
    const evaluation = await until("the evaluation ends", async () => {
      const { evaluations } = await api().saes.get.query({ id: ended.sae!.id });
      return evaluations.find((one) => one.id === asked.id && one.status === "done");
    });
    expect(evaluation.result!.tokens).toBe(set.held_out_tokens);
    const predicted = await api().runs.predict.query({
      model_id,
      tokenization_id,
      hooks,
      training_tokens: 1_000,
    });
    expect(predicted.disk).toMatchObject({
      rate: { from: expect.stringMatching(/“From disk”/) },
      capture_seconds: expect.any(Number),
    });
    const live = { kind: "live" as const, model_id, tokenization_id, hooks: [hooks[0]!] };
    const other = await api().runs.create.mutate({ name: "Live", source: live, config });
    const beside = await untilEnded(test, other.id, worker);
    // The same rows in another order.
    const [disk, alive] = [ended.sae!.evaluation, beside.sae!.evaluation];
    expect(Math.abs(disk.fvu! - alive.fvu!)).toBeLessThan(0.25 * disk.fvu!);

    await expect(
      api().captures.delete.mutate({ id: "019ab000-0000-7000-8000-000000000000" }),
    ).rejects.toThrow(/There is no capture/);
    await expect(api().tokenizations.delete.mutate({ id: tokenization_id })).rejects.toThrow(
      /the capture “First”/,
    );
    await api().captures.delete.mutate({ id: made.id });
    expect(await api().activationSets.get.query({ id: set.id })).toMatchObject({
      status: "ready",
      capture_id: null,
    });
    await expect(api().models.delete.mutate({ id: model_id })).rejects.toThrow(
      /the activation set “First blocks\.1/,
    );
  });

  it("names everything that is wrong at its path", async () => {
    const wrong = await api()
      .captures.create.mutate({
        model_id,
        tokenization_id,
        hooks: ["blocks.9.hook_embed", hooks[0]!, hooks[0]!],
      })
      .catch((error: unknown) => error);
    expect(faultsOf(wrong).map((fault) => fault.path)).toEqual(["hooks.0", "hooks.2"]);
    expect((await api().captures.list.query({ text: "Tiny" })).items.map(({ name }) => name)).not.toContain(
      "Tiny on Words",
    );
  });

  it("is taken up by the next worker after kill -9, and comes to the files of an undisturbed one", async () => {
    const subject = { model_id, tokenization_id: long_id, hooks, precision: "f16" as const };
    const whole = await api().captures.create.mutate({ ...subject, name: "Whole" });
    // The smaller the batches the slower it is; they change nothing else.
    const options = { batch_size: 3 };
    const cut = await api().captures.create.mutate({ ...subject, name: "Cut", options });
    expect((await untilDone(whole.id)).status).toBe("done");
    const running = await captured(
      cut.id,
      ({ progress, status }) => status === "running" && progress !== null,
    );
    expect(running.sets.map(({ status }) => status)).toEqual(["importing", "importing"]);
    await captured(cut.id, ({ progress }) => progress!.done > progress!.total! / 5);
    worker.signal("SIGKILL");
    await worker.ended;
    const before = await api().captures.get.query({ id: cut.id });
    expect(before.status).toBe("running");
    worker = startWorker(test);
    let least = Number.POSITIVE_INFINITY;
    const done = await captured(cut.id, ({ attempt, progress, status }) => {
      if (attempt > 1 && progress !== null) least = Math.min(least, progress.done);
      return status !== "queued" && status !== "running";
    });
    expect(done).toMatchObject({ status: "done", attempt: 2 });
    // It went on from what stood on the disk.
    expect(least).toBeGreaterThan(0);
    for (const index of [0, 1]) {
      const [a, b] = [whole, cut].map(({ activation_set_ids }) => activation_set_ids[index]!);
      const manifest = async (id: string) =>
        readFile(path.join(home, "activation_sets", id, "manifest.json"), "utf8");
      expect(await manifest(b!)).toBe(await manifest(a!));
      expect(JSON.parse(await manifest(a!))).toMatchObject({ precision: "f16", dtype: "float16" });
    }
  });

  it("leaves nothing when it is canceled, waiting or under way", async () => {
    const subject = { model_id, tokenization_id: long_id, hooks, options: { batch_size: 1 } };
    const first = await api().captures.create.mutate({ ...subject, name: "Canceled" });
    const second = await api().captures.create.mutate({ ...subject, name: "Waiting" });
    await captured(first.id, ({ progress, status }) => status === "running" && progress !== null);
    await expect(api().activationSets.delete.mutate({ id: first.activation_set_ids[0]! })).rejects.toThrow(
      /still being captured; cancel the capture first/,
    );
    await api().captures.cancel.mutate({ id: second.id });
    await api().captures.cancel.mutate({ id: first.id });
    await expect(api().captures.cancel.mutate({ id: first.id })).rejects.toThrow(
      "“Canceled” is canceled, not waiting",
    );
    const ids = [...first.activation_set_ids, ...second.activation_set_ids];
    await until("nothing is left", async () => {
      const names = await readdir(path.join(home, "activation_sets"));
      return !names.some((name) => ids.some((id) => name.startsWith(id)));
    });
    await expect(api().activationSets.get.query({ id: ids[0]! })).rejects.toThrow(
      /There is no activation set/,
    );
    await api().captures.delete.mutate({ id: first.id });
  });

  it("keeps why it failed, and goes on when it is tried again", async () => {
    const every = Array.from({ length: 256 }, (_, byte) => byte);
    const { id, activation_set_ids } = await api().captures.create.mutate({
      ...{ model_id, tokenization_id, hooks: [hooks[0]!], name: "Nothing" },
      options: { excluded_token_ids: every },
    });
    const failed = await untilDone(id);
    expect(failed).toMatchObject({ status: "failed", reason: expect.stringMatching(/No token is left/) });
    const [set] = activation_set_ids;
    expect(await api().activationSets.get.query({ id: set! })).toMatchObject({
      status: "failed",
      reason: failed.reason,
    });
    await api().captures.retry.mutate({ id });
    expect(await captured(id, ({ status, attempt }) => status === "failed" && attempt === 2)).toBeTruthy();
    await api().captures.delete.mutate({ id });
    await expect(api().activationSets.get.query({ id: set! })).rejects.toThrow(/There is no activation set/);
    await expect(access(path.join(home, "activation_sets", set!))).rejects.toThrow();
  });
});

describe("the command line", () => {
  it("creates, watches, lists and deletes", async () => {
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
    const subject = ["--model", model_id, "--tokenization", tokenization_id, "--hooks", hooks.join(",")];
    const made = await facet(
      "captures",
      "create",
      ...subject,
      "--name",
      "By hand",
      "--exclude-token",
      "32",
      "--precision",
      "f16",
      "--watch",
    );
    expect(made).toMatchObject({
      code: 0,
      text: expect.stringMatching(/tokens at 2 hook points take .*, about /),
    });
    expect(made.text).toMatch(
      /Captured “By hand” at [\d,]+ tokens\/s\.\n {2}blocks\.1\.hook_resid_post {2}activation set /,
    );
    const id = /Created (\S+)/.exec(made.text)![1]!;
    expect((await facet("captures", "list", "--text", "by hand")).text).toContain("done");
    expect((await facet("captures", "watch", id)).code).toBe(0);
    expect((await facet("captures", "cancel", id)).code).toBe(1);
    expect((await facet("captures", "delete", id)).text).toBe("Deleted.");
    expect((await facet("captures", "create", "--model", model_id)).code).toBe(2);
  });
});
