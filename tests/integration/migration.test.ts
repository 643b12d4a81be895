import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { migrateDatabase } from "../../db/migrate.ts";
import { openDatabase } from "../../db/open.ts";
import { getRun } from "../../server/runs/get.ts";
import { runMetrics } from "../../server/runs/metrics.ts";
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
async function migrateTo(count: number): Promise<void> {
  const all = path.resolve(import.meta.dirname, "../../db/migrations");
  await cp(all, folder, { recursive: true });
  const file = path.join(folder, "meta/_journal.json");
  const journal: { entries: unknown[] } = JSON.parse(await readFile(file, "utf8"));
  await writeFile(file, JSON.stringify({ ...journal, entries: journal.entries.slice(0, count) }));
  const client = postgres(database.url, { max: 1, onnotice: () => undefined });
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
