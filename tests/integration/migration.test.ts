import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { migrateDatabase } from "../../db/migrate.ts";
import { openDatabase } from "../../db/open.ts";
import { getActivationSet } from "../../server/activations/list.ts";
import { getRun } from "../../server/runs/get.ts";
import { runMetrics } from "../../server/runs/metrics.ts";
import { getSae } from "../../server/saes/get.ts";
import { emptyDatabase, type FreshDatabase } from "./database.ts";

let database: FreshDatabase;
let folder: string;
beforeAll(async () => {
  database = await emptyDatabase();
  folder = await mkdtemp(path.join(os.tmpdir(), "facet-migrations-"));
});
afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const set = "019ab000-0000-7000-8000-000000000001";
const run = "019ab000-0000-7000-8000-000000000002";

/** Brings the database to the schema as it was after the first `count` migrations. */
async function migrateTo(count: number, url = database.url): Promise<void> {
  const all = path.resolve(import.meta.dirname, "../../db/migrations");
  await cp(all, folder, { recursive: true });
  const file = path.join(folder, "meta/_journal.json");
  const journal: { entries: unknown[] } = JSON.parse(await readFile(file, "utf8"));
  await writeFile(file, JSON.stringify({ ...journal, entries: journal.entries.slice(0, count) }));
  const client = postgres(url, { max: 1, onnotice: () => undefined });
  await migrate(drizzle({ client }), { migrationsFolder: folder });
  await client.end();
}

it("runs, metrics and SAEs from before there was more than TopK stay whole", async () => {
  await migrateTo(1);
  const sql = postgres(database.url, { max: 1, onnotice: () => undefined });
  const config = {
    architecture: "topk",
    d_in: 8,
    d_sae: 16,
    k: 2,
    training_tokens: 1_024,
    train_batch_size_tokens: 256,
  };
  const latest = { step: 4, tokens: 1_024, loss: 1, mse_loss: 1, aux_loss: 0, fvu: 0.5 };
  await sql`insert into activation_sets (id, name, hook_name, model_name, status, origin, n_tokens, d_in, bytes, sha256)
    values (${set}, 'old set', 'blocks.0.hook_resid_post', 'gpt2', 'ready', 'x', 10, 8, 1, '00')`;
  await sql`insert into runs (id, name, status, source_kind, activation_set_id, hook_name, config, total_steps, step,
      latest, ended_at)
    values (${run}, 'old run', 'completed', 'activation_set', ${set}, 'blocks.0.hook_resid_post', ${sql.json(config)},
      4, 4, ${sql.json(latest)}, now())`;
  await sql`insert into run_metrics (run_id, step, hook_name, seq, tokens, loss, mse_loss, aux_loss, l0,
      explained_variance, fvu, dead_features, grad_norm, lr, tokens_per_second, gpu_bytes)
    values (${run}, 4, 'blocks.0.hook_resid_post', 1, 1024, 1, 1, 0, 2, 0.5, 0.5, 0, 1, 0.001, 1, 1)`;
  await sql`insert into saes (id, run_id, hook_name, path, bytes, sha256, evaluation)
    values ('019ab000-0000-7000-8000-000000000003', ${run}, 'blocks.0.hook_resid_post', 'p', 1, '00',
      ${sql.json({ tokens: 1, mse: 1, fvu: 0.5, explained_variance: 0.5, l0: 2, dead_features: 0 })})`;
  await sql.end();

  await migrateDatabase(database.url);
  const opened = openDatabase(database.url);
  try {
    expect(await getRun(opened.db, { id: run })).toMatchObject({
      name: "old run",
      sparsity: "k 2",
      d_out: 8,
      source: { name: "old set", activation_sets: [{ id: set }] },
      run_source: { kind: "activation_set", activation_set_ids: [set] },
      config: { k: 2, target_l0: null, base_architecture: "topk" },
      latest: { step: 4, sparsity_loss: 0, sparsity_coefficient: 0 },
      sae: { bytes: 1 },
    });
    const { rows } = await runMetrics(opened.db, { id: run, points: 100 });
    expect(rows).toMatchObject([{ step: 4, sparsity_loss: 0, sparsity_coefficient: 0 }]);
    const [sae] = await opened.sql`select * from saes`;
    expect(sae).toMatchObject({
      name: "old run",
      architecture: "topk",
      d_in: 8,
      d_out: 8,
      d_sae: 16,
      format: "facet",
      status: "ready",
      model_name: "gpt2",
    });
  } finally {
    await opened.close();
  }
});

it("runs, sets and evaluations from before there were models stay whole", async () => {
  const older = await emptyDatabase();
  try {
    await migrateTo(2, older.url);
    const sql = postgres(older.url, { max: 1, onnotice: () => undefined });
    const config = { architecture: "topk", d_in: 8, d_sae: 16, k: 2, training_tokens: 1_024 };
    const saeId = "019ab000-0000-7000-8000-000000000003";
    await sql`insert into activation_sets (id, name, hook_name, status, origin, n_tokens, d_in, bytes, sha256)
      values (${set}, 'old set', 'blocks.0.hook_resid_post', 'ready', 'x', 10, 8, 1, '00')`;
    await sql`insert into runs (id, name, status, source_kind, hook_name, config, total_steps, step, ended_at)
      values (${run}, 'old run', 'completed', 'activation_set', 'blocks.0.hook_resid_post', ${sql.json(config)}, 4, 4,
        now())`;
    await sql`insert into run_activation_sets (run_id, position, activation_set_id) values (${run}, 0, ${set})`;
    await sql`insert into saes (id, name, path, architecture, d_in, d_out, d_sae, bytes, sha256)
      values (${saeId}, 'old SAE', 'p', 'topk', 8, 8, 16, 1, '00')`;
    await sql`insert into sae_evaluations (id, sae_id, status, sets, tokens, result)
      values ('019ab000-0000-7000-8000-000000000004', ${saeId}, 'done', '[]', 10, ${sql.json({ tokens: 10 })})`;
    await sql.end();

    await migrateDatabase(older.url);
    const opened = openDatabase(older.url);
    try {
      expect(await getRun(opened.db, { id: run })).toMatchObject({
        source: { kind: "activation_set", live: null, activation_sets: [{ id: set }] },
        run_source: { kind: "activation_set", activation_set_ids: [set] },
      });
      expect(await getActivationSet(opened.db, { id: set })).toMatchObject({
        status: "ready",
        n_tokens: 10,
        held_out_tokens: null,
        model_id: null,
        tokenization_id: null,
        capture_id: null,
      });
      const { evaluations } = await getSae(opened.db, { id: saeId });
      expect(evaluations).toMatchObject([
        { kind: "activations", subject: null, n_sequences: null, result: { tokens: 10 }, model_result: null },
      ]);
    } finally {
      await opened.close();
    }
  } finally {
    await older.drop();
  }
});
