import { type SQL, sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  doublePrecision,
  index,
  integer,
  jsonb,
  type PgColumn,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uuid,
} from "drizzle-orm/pg-core";
import type { SyntheticConfig } from "../gpu/data/synthetic.ts";
import type { Capabilities } from "../gpu/device/gpu.ts";
import type { ModelSpec } from "../gpu/lm/model-spec.ts";
import type { ModelEvaluation } from "../gpu/metrics/evaluate-in-model.ts";
import type { SaeHistograms } from "../gpu/metrics/sae-histograms.ts";
import type { TrainingConfig } from "../gpu/sae/config.ts";
import type { SaeConfig } from "../gpu/sae/sae.ts";
import type { Evaluation, StepMetrics } from "../gpu/sae/trainer.ts";
import type {
  CaptureEstimate,
  CaptureOptions,
  DatasetOptions,
  DatasetSource,
  DatasetStatistics,
  EvaluatedSet,
  EvaluationSubject,
  ModelSource,
  TokenizeOptions,
  TokenStatistics,
  WorkProgress,
} from "./stored.ts";
import { uuidv7 } from "./uuid.ts";
import {
  activationSetStatuses,
  captureDtypes,
  captureStatuses,
  checkpointReasons,
  datasetStatuses,
  desiredStates,
  evaluationKinds,
  evaluationStatuses,
  modelPrecisions,
  modelStatuses,
  runStatuses,
  saeStatuses,
  sourceKinds,
  storedEventTypes,
  tokenizationStatuses,
} from "./vocabulary.ts";

// Columns carry the names of the fields they hold, so that rows and views need no translation.

const id = () => uuid().primaryKey().$defaultFn(uuidv7);
const time = () => timestamp({ withTimezone: true, mode: "date" });
const bytes = () => bigint({ mode: "number" });
const oneOf = (column: PgColumn, values: readonly string[]): SQL =>
  sql`${column} in (${sql.raw(values.map((value) => `'${value}'`).join(", "))})`;

/** A language model under FACET_HOME/models/<id>. What is null is not known before the import ends. */
export const models = pgTable(
  "models",
  {
    id: id(),
    name: text().notNull(),
    status: text({ enum: modelStatuses }).notNull().default("importing"),
    progress: jsonb().$type<WorkProgress>(),
    /** Why the import failed: cause and next step. */
    reason: text(),
    /** Imports begun so far; only the newest writes. */
    attempt: integer().notNull().default(1),
    /** What it came from, as the user named it. */
    origin: text().notNull(),
    source: jsonb().$type<ModelSource>().notNull(),
    model_type: text(),
    spec: jsonb().$type<ModelSpec>(),
    parameters: bytes(),
    /** Of all files. */
    bytes: bytes(),
    sha256: text(),
    has_tokenizer: boolean(),
    /** Of tokenizer.json: models with the same one can share tokenizations. */
    tokenizer_sha256: text(),
    created_at: time().notNull().defaultNow(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [
    check("models_status", oneOf(t.status, modelStatuses)),
    check("models_name", sql`length(${t.name}) between 1 and 200`),
    check("models_sizes", sql`${t.parameters} > 0 and ${t.bytes} > 0 and ${t.attempt} > 0`),
    check(
      "models_ready",
      sql`${t.status} <> 'ready' or (${t.model_type} is not null and ${t.spec} is not null and ${t.parameters} is not null and ${t.bytes} is not null and ${t.sha256} is not null and ${t.has_tokenizer} is not null)`,
    ),
    index("models_by_name").on(sql`lower(${t.name})`, t.id),
  ],
);

/** A text corpus under FACET_HOME/datasets/<id>. What is null is not known before the import ends. */
export const datasets = pgTable(
  "datasets",
  {
    id: id(),
    name: text().notNull(),
    status: text({ enum: datasetStatuses }).notNull().default("importing"),
    progress: jsonb().$type<WorkProgress>(),
    /** Why the import failed: cause and next step. */
    reason: text(),
    /** Imports begun so far; only the newest writes. */
    attempt: integer().notNull().default(1),
    /** What it came from, as the user named it. */
    origin: text().notNull(),
    source: jsonb().$type<DatasetSource>().notNull(),
    options: jsonb().$type<DatasetOptions>().notNull(),
    n_documents: bytes(),
    n_characters: bytes(),
    bytes: bytes(),
    sha256: text(),
    statistics: jsonb().$type<DatasetStatistics>(),
    created_at: time().notNull().defaultNow(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [
    check("datasets_status", oneOf(t.status, datasetStatuses)),
    check("datasets_name", sql`length(${t.name}) between 1 and 200`),
    check(
      "datasets_sizes",
      sql`${t.n_documents} > 0 and ${t.n_characters} >= 0 and ${t.bytes} >= 0 and ${t.attempt} > 0`,
    ),
    check(
      "datasets_ready",
      sql`${t.status} <> 'ready' or (${t.n_documents} is not null and ${t.n_characters} is not null and ${t.bytes} is not null and ${t.sha256} is not null and ${t.statistics} is not null)`,
    ),
    index("datasets_by_name").on(sql`lower(${t.name})`, t.id),
  ],
);

/** A dataset as packed sequences of a model's tokens, under FACET_HOME/tokenizations/<id>. */
export const tokenizations = pgTable(
  "tokenizations",
  {
    id: id(),
    name: text().notNull(),
    dataset_id: uuid()
      .notNull()
      .references(() => datasets.id, { onDelete: "restrict" }),
    /** The model whose tokenizer was used. */
    model_id: uuid()
      .notNull()
      .references(() => models.id, { onDelete: "restrict" }),
    status: text({ enum: tokenizationStatuses }).notNull().default("tokenizing"),
    progress: jsonb().$type<WorkProgress>(),
    /** Why it failed: cause and next step. */
    reason: text(),
    /** Times it was begun; only the newest writes. */
    attempt: integer().notNull().default(1),
    /** As they are carried out. */
    options: jsonb().$type<TokenizeOptions>().notNull(),
    /** Of the tokenizer.json that was used. */
    tokenizer_sha256: text().notNull(),
    context_size: integer().notNull(),
    n_sequences: bytes(),
    /** The last ones, which are never trained on. */
    held_out_sequences: bytes(),
    n_documents: bytes(),
    n_text_tokens: bytes(),
    n_special_tokens: bytes(),
    n_padding_tokens: bytes(),
    /** Documents by their number of tokens, and tokens a character. */
    statistics: jsonb().$type<TokenStatistics>(),
    bytes: bytes(),
    /** Of dataset, tokenizer and options together: the same is not made twice. */
    hash: text().notNull(),
    created_at: time().notNull().defaultNow(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [
    check("tokenizations_status", oneOf(t.status, tokenizationStatuses)),
    check("tokenizations_name", sql`length(${t.name}) between 1 and 200`),
    check(
      "tokenizations_sizes",
      sql`${t.context_size} > 0 and ${t.n_sequences} > 0 and ${t.held_out_sequences} >= 0 and ${t.held_out_sequences} < ${t.n_sequences} and ${t.n_text_tokens} > 0 and ${t.bytes} > 0 and ${t.attempt} > 0`,
    ),
    check(
      "tokenizations_ready",
      sql`${t.status} <> 'ready' or (${t.n_sequences} is not null and ${t.held_out_sequences} is not null and ${t.n_documents} is not null and ${t.n_text_tokens} is not null and ${t.n_special_tokens} is not null and ${t.n_padding_tokens} is not null and ${t.bytes} is not null)`,
    ),
    unique("tokenizations_hash").on(t.hash),
    index("tokenizations_by_dataset").on(t.dataset_id, t.id),
    index("tokenizations_by_model").on(t.model_id, t.id),
  ],
);

/** One pass of a model over a tokenization that leaves an activation set per hook point. The queue delivers its id. */
export const captures = pgTable(
  "captures",
  {
    id: id(),
    name: text().notNull(),
    model_id: uuid()
      .notNull()
      .references(() => models.id, { onDelete: "restrict" }),
    tokenization_id: uuid()
      .notNull()
      .references(() => tokenizations.id, { onDelete: "restrict" }),
    /** Hook points by TransformerLens' names, in order. */
    hooks: text().array().notNull(),
    dtype: text({ enum: captureDtypes }).notNull(),
    /** Of the model's weights on the GPU. */
    precision: text({ enum: modelPrecisions }).notNull().default("f32"),
    options: jsonb().$type<CaptureOptions>().notNull(),
    status: text({ enum: captureStatuses }).notNull().default("queued"),
    progress: jsonb().$type<WorkProgress>(),
    /** Why it failed: cause and next step. */
    reason: text(),
    /** Times a worker has taken it; every write of a worker names the attempt it holds. */
    attempt: integer().notNull().default(0),
    /** Times in a row that a worker died without getting further. */
    interruptions: integer().notNull().default(0),
    worker_id: uuid().references(() => workers.id, { onDelete: "set null" }),
    /** As it was said before it began. */
    estimate: jsonb().$type<CaptureEstimate>().notNull(),
    /** Measured over the whole of the attempt that ended it; null before. */
    tokens_per_second: doublePrecision(),
    created_at: time().notNull().defaultNow(),
    started_at: time(),
    ended_at: time(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [
    check("captures_status", oneOf(t.status, captureStatuses)),
    check("captures_name", sql`length(${t.name}) between 1 and 200`),
    check("captures_dtype", oneOf(t.dtype, captureDtypes)),
    check("captures_precision", oneOf(t.precision, modelPrecisions)),
    check("captures_hooks", sql`cardinality(${t.hooks}) between 1 and 64`),
    check("captures_counters", sql`${t.attempt} >= 0 and ${t.interruptions} >= 0`),
    check(
      "captures_ended",
      sql`(${t.status} in ('done', 'failed', 'canceled')) = (${t.ended_at} is not null)`,
    ),
    index("captures_by_model").on(t.model_id),
    index("captures_by_tokenization").on(t.tokenization_id),
    index("captures_open").on(t.status).where(sql`${t.status} in ('queued', 'running')`),
  ],
);

/**
 * A matrix of stored activations, [n_tokens, d_in], under FACET_HOME/activation_sets/<id>. One that was captured here is
 * `importing` while its capture goes on, and names model, tokenization and capture.
 */
export const activation_sets = pgTable(
  "activation_sets",
  {
    id: id(),
    name: text().notNull(),
    hook_name: text().notNull(),
    model_name: text(),
    dataset_name: text(),
    model_id: uuid().references(() => models.id, { onDelete: "restrict" }),
    tokenization_id: uuid().references(() => tokenizations.id, { onDelete: "restrict" }),
    capture_id: uuid().references(() => captures.id, { onDelete: "set null" }),
    status: text({ enum: activationSetStatuses }).notNull().default("importing"),
    /** Part imported, in [0, 1]. */
    progress: doublePrecision().notNull().default(0),
    /** Why the import failed: cause and next step. */
    reason: text(),
    /** File it came from, as the user named it. */
    origin: text().notNull(),
    tensor: text(),
    source_dtype: text(),
    n_tokens: bytes(),
    /** Rows besides, which are never trained on; null for a set that keeps none apart. */
    held_out_tokens: bytes(),
    d_in: integer(),
    bytes: bytes(),
    sha256: text(),
    /** Mean Euclidean norm of the rows. */
    mean_norm: doublePrecision(),
    created_at: time().notNull().defaultNow(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [
    check("activation_sets_status", oneOf(t.status, activationSetStatuses)),
    check("activation_sets_progress", sql`${t.progress} >= 0 and ${t.progress} <= 1`),
    check("activation_sets_n_tokens", sql`${t.n_tokens} > 0 and ${t.held_out_tokens} >= 0`),
    check(
      "activation_sets_captured",
      sql`(${t.model_id} is null) = (${t.tokenization_id} is null) and (${t.capture_id} is null or ${t.model_id} is not null)`,
    ),
    check("activation_sets_d_in", sql`${t.d_in} > 0`),
    check("activation_sets_bytes", sql`${t.bytes} >= 0`),
    check(
      "activation_sets_ready",
      sql`${t.status} <> 'ready' or (${t.n_tokens} is not null and ${t.d_in} is not null and ${t.bytes} is not null and ${t.sha256} is not null)`,
    ),
    index("activation_sets_names").on(t.model_name, t.dataset_name),
    index("activation_sets_status_index").on(t.status, t.id),
    index("activation_sets_by_model").on(t.model_id),
    index("activation_sets_by_tokenization").on(t.tokenization_id),
    index("activation_sets_by_capture").on(t.capture_id),
  ],
);

/** One process that can train. A row stays after the process, so that a run can say who trained it. */
export const workers = pgTable(
  "workers",
  {
    id: id(),
    host: text().notNull(),
    pid: integer().notNull(),
    adapter: text(),
    software: boolean(),
    capabilities: jsonb().$type<Capabilities>(),
    /** Bytes that a run may take on this worker's device. */
    memory_bytes: bytes(),
    started_at: time().notNull().defaultNow(),
    heartbeat_at: time().notNull().defaultNow(),
    /** Set when the process ended in an orderly way. */
    stopped_at: time(),
  },
  (t) => [
    check("workers_pid", sql`${t.pid} > 0`),
    check("workers_memory", sql`${t.memory_bytes} > 0`),
    index("workers_heartbeat").on(t.heartbeat_at),
  ],
);

/** A run: the truth about it. The queue only delivers its id. */
export const runs = pgTable(
  "runs",
  {
    id: id(),
    name: text().notNull(),
    description: text().notNull().default(""),
    status: text({ enum: runStatuses }).notNull().default("queued"),
    /** What the user wants of the worker that holds the run. */
    desired: text({ enum: desiredStates }).notNull().default("run"),
    source_kind: text({ enum: sourceKinds }).notNull(),
    synthetic: jsonb().$type<SyntheticConfig>(),
    /** Of a live run: the model that runs, the tokens it reads, and the hook points whose rows stand side by side. */
    model_id: uuid().references(() => models.id, { onDelete: "restrict" }),
    tokenization_id: uuid().references(() => tokenizations.id, { onDelete: "restrict" }),
    hooks: text().array(),
    /** Of a live run: its model's weights on the GPU. Of no meaning in others, as the next two. */
    precision: text({ enum: modelPrecisions }).notNull().default("f32"),
    /** Steps between evaluations in the model; null: only after the last. */
    eval_every_steps: integer(),
    /** Most held-out sequences of each. */
    eval_sequences: integer().notNull().default(64),
    hook_name: text().notNull(),
    config: jsonb().$type<TrainingConfig>().notNull(),
    total_steps: integer().notNull(),
    step: integer().notNull().default(0),
    /** Newest metrics row. */
    latest: jsonb().$type<StepMetrics>(),
    /** Of the newest metrics row; kept as a column to sort by. */
    fvu: doublePrecision(),
    /** Number of the newest event or metrics row. Taken under the row's lock, so commit order is number order. */
    last_seq: bytes().notNull().default(0),
    /** Times a worker has taken the run; every write of a worker names the attempt it holds. */
    attempt: integer().notNull().default(0),
    /** Times in a row that a worker died without a new checkpoint. */
    interruptions: integer().notNull().default(0),
    worker_id: uuid().references(() => workers.id, { onDelete: "set null" }),
    reason: text(),
    planned_bytes: bytes(),
    peak_bytes: bytes(),
    created_at: time().notNull().defaultNow(),
    started_at: time(),
    ended_at: time(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [
    check("runs_status", oneOf(t.status, runStatuses)),
    check("runs_desired", oneOf(t.desired, desiredStates)),
    check("runs_source_kind", oneOf(t.source_kind, sourceKinds)),
    check("runs_source", sql`(${t.source_kind} = 'synthetic') = (${t.synthetic} is not null)`),
    check(
      "runs_live",
      sql`(${t.source_kind} = 'live') = (${t.model_id} is not null) and (${t.source_kind} = 'live') = (${t.tokenization_id} is not null) and (${t.source_kind} = 'live') = (${t.hooks} is not null)`,
    ),
    check("runs_precision", oneOf(t.precision, modelPrecisions)),
    check("runs_evaluation", sql`${t.eval_every_steps} > 0 and ${t.eval_sequences} > 0`),
    check("runs_name", sql`length(${t.name}) between 1 and 200`),
    check("runs_step", sql`${t.step} >= 0 and ${t.step} <= ${t.total_steps}`),
    check("runs_total_steps", sql`${t.total_steps} > 0`),
    check("runs_counters", sql`${t.last_seq} >= 0 and ${t.attempt} >= 0 and ${t.interruptions} >= 0`),
    check("runs_memory", sql`${t.planned_bytes} >= 0 and ${t.peak_bytes} >= 0`),
    check(
      "runs_ended",
      sql`(${t.status} in ('completed', 'stopped', 'failed')) = (${t.ended_at} is not null)`,
    ),
    index("runs_by_status").on(t.status, t.id),
    index("runs_by_name").on(sql`lower(${t.name})`, t.id),
    // Runs without an FVU sort last in either direction, so each has its own key.
    index("runs_by_fvu_ascending").on(sql`coalesce(${t.fvu}, 'NaN'::float8)`, t.id),
    index("runs_by_fvu_descending").on(sql`coalesce(${t.fvu}, '-Infinity'::float8)`, t.id),
    index("runs_by_worker").on(t.worker_id),
    index("runs_by_model").on(t.model_id),
    index("runs_by_tokenization").on(t.tokenization_id),
  ],
);

/**
 * The activation sets a run trains on, in the order in which their rows stand side by side: one for an SAE, input and
 * target for a transcoder, all hook points for a crosscoder. None for a synthetic run.
 */
export const run_activation_sets = pgTable(
  "run_activation_sets",
  {
    run_id: uuid()
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    position: integer().notNull(),
    activation_set_id: uuid()
      .notNull()
      .references(() => activation_sets.id, { onDelete: "restrict" }),
  },
  (t) => [
    primaryKey({ columns: [t.run_id, t.position] }),
    check("run_activation_sets_position", sql`${t.position} >= 0`),
    index("run_activation_sets_by_set").on(t.activation_set_id),
  ],
);

/** Metrics of one step of one SAE; columns are the fields of StepMetrics. */
export const run_metrics = pgTable(
  "run_metrics",
  {
    run_id: uuid()
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    step: integer().notNull(),
    hook_name: text().notNull(),
    seq: bytes().notNull(),
    at: time().notNull().defaultNow(),
    tokens: bytes().notNull(),
    loss: doublePrecision().notNull(),
    mse_loss: doublePrecision().notNull(),
    sparsity_loss: doublePrecision().notNull(),
    aux_loss: doublePrecision().notNull(),
    l0: doublePrecision().notNull(),
    explained_variance: doublePrecision().notNull(),
    fvu: doublePrecision().notNull(),
    dead_features: integer().notNull(),
    grad_norm: doublePrecision().notNull(),
    lr: doublePrecision().notNull(),
    sparsity_coefficient: doublePrecision().notNull(),
    tokens_per_second: doublePrecision().notNull(),
    gpu_bytes: bytes().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.run_id, t.step, t.hook_name] }),
    unique("run_metrics_seq").on(t.run_id, t.seq),
    check("run_metrics_step", sql`${t.step} >= 0`),
    check("run_metrics_counts", sql`${t.tokens} >= 0 and ${t.dead_features} >= 0 and ${t.gpu_bytes} >= 0`),
    check("run_metrics_l0", sql`${t.l0} >= 0`),
  ],
);

/** How a live run's SAE did in its model after a step, on held-out sequences; none is of a step that was taken back. */
export const run_model_evaluations = pgTable(
  "run_model_evaluations",
  {
    run_id: uuid()
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    step: integer().notNull(),
    hook_name: text().notNull(),
    n_sequences: integer().notNull(),
    figures: jsonb().$type<Omit<ModelEvaluation, "feature_frequency" | "density_histogram">>().notNull(),
    at: time().notNull().defaultNow(),
  },
  (t) => [
    primaryKey({ columns: [t.run_id, t.step, t.hook_name] }),
    check("run_model_evaluations_counts", sql`${t.step} > 0 and ${t.n_sequences} > 0`),
  ],
);

/** Everything that happened to a run except its metrics, which are numbered in the same sequence. */
export const run_events = pgTable(
  "run_events",
  {
    run_id: uuid()
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    seq: bytes().notNull(),
    type: text({ enum: storedEventTypes }).notNull(),
    /** The event without its number, time and type. */
    body: jsonb().$type<object>().notNull(),
    at: time().notNull().defaultNow(),
  },
  (t) => [
    primaryKey({ columns: [t.run_id, t.seq] }),
    check("run_events_type", oneOf(t.type, storedEventTypes)),
    check("run_events_seq", sql`${t.seq} > 0`),
  ],
);

/** A run's whole state at a step, in the folder `path` under FACET_HOME. */
export const checkpoints = pgTable(
  "checkpoints",
  {
    id: id(),
    run_id: uuid()
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    step: integer().notNull(),
    reason: text({ enum: checkpointReasons }).notNull(),
    path: text().notNull(),
    bytes: bytes().notNull(),
    duration_ms: doublePrecision().notNull(),
    sha256: text().notNull(),
    created_at: time().notNull().defaultNow(),
  },
  (t) => [
    unique("checkpoints_run_step").on(t.run_id, t.step),
    check("checkpoints_reason", oneOf(t.reason, checkpointReasons)),
    check("checkpoints_step", sql`${t.step} >= 0`),
    check("checkpoints_bytes", sql`${t.bytes} >= 0 and ${t.duration_ms} >= 0`),
  ],
);

/**
 * An SAE for use, in SAELens' layout in the folder `path` under FACET_HOME: what a run left, or what was imported.
 * What is null of an imported one is not known before its import ends, or never was.
 */
export const saes = pgTable(
  "saes",
  {
    id: id(),
    /** Null for an imported one. */
    run_id: uuid().references(() => runs.id, { onDelete: "cascade" }),
    name: text().notNull(),
    status: text({ enum: saeStatuses }).notNull().default("ready"),
    /** Why the import failed: cause and next step. */
    reason: text(),
    /** File or folder it was imported from, as the user named it. */
    origin: text(),
    /** Layout of the origin; "facet" for what a run left. */
    format: text().notNull().default("facet"),
    /** As it was trained; what it is used as stands in `config`. */
    architecture: text(),
    hook_name: text(),
    model_name: text(),
    dataset_name: text(),
    d_in: integer(),
    d_out: integer(),
    d_sae: integer(),
    config: jsonb().$type<SaeConfig>(),
    path: text().notNull(),
    bytes: bytes(),
    sha256: text(),
    /** On the training data, after the last step. */
    evaluation: jsonb().$type<Omit<Evaluation, "feature_frequency">>(),
    recovery: jsonb().$type<object>(),
    histograms: jsonb().$type<SaeHistograms>(),
    created_at: time().notNull().defaultNow(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [
    unique("saes_run_hook").on(t.run_id, t.hook_name),
    check("saes_status", oneOf(t.status, saeStatuses)),
    check("saes_name", sql`length(${t.name}) between 1 and 200`),
    check("saes_bytes", sql`${t.bytes} >= 0`),
    check("saes_sizes", sql`${t.d_in} > 0 and ${t.d_out} > 0 and ${t.d_sae} > 0`),
    check(
      "saes_ready",
      sql`${t.status} <> 'ready' or (${t.architecture} is not null and ${t.d_in} is not null and ${t.d_out} is not null and ${t.d_sae} is not null and ${t.bytes} is not null and ${t.sha256} is not null)`,
    ),
    check(
      "saes_trained",
      sql`${t.run_id} is null or (${t.status} = 'ready' and ${t.hook_name} is not null and ${t.evaluation} is not null)`,
    ),
    index("saes_by_name").on(sql`lower(${t.name})`, t.id),
  ],
);

/** A measurement of an SAE: on stored activations, or in the language model that it was trained on. */
export const sae_evaluations = pgTable(
  "sae_evaluations",
  {
    id: id(),
    sae_id: uuid()
      .notNull()
      .references(() => saes.id, { onDelete: "cascade" }),
    status: text({ enum: evaluationStatuses }).notNull().default("queued"),
    /** Part done, in [0, 1]. */
    progress: doublePrecision().notNull().default(0),
    /** Why it failed: cause and next step. */
    reason: text(),
    kind: text({ enum: evaluationKinds }).notNull().default("activations"),
    /** The sets as they were when it began; they may be deleted after it. None in a model. */
    sets: jsonb().$type<EvaluatedSet[]>().notNull(),
    /** Model, tokens and hook point as they were when it began; they may be deleted after it. */
    subject: jsonb().$type<EvaluationSubject>(),
    model_id: uuid().references(() => models.id, { onDelete: "set null" }),
    tokenization_id: uuid().references(() => tokenizations.id, { onDelete: "set null" }),
    /** Held-out sequences to measure on, in a model. */
    n_sequences: integer(),
    /** Of the model's weights on the GPU; of no meaning on stored activations. */
    precision: text({ enum: modelPrecisions }).notNull().default("f32"),
    /** Most tokens to measure on. */
    tokens: bytes().notNull(),
    result: jsonb().$type<object>(),
    worker_id: uuid().references(() => workers.id, { onDelete: "set null" }),
    created_at: time().notNull().defaultNow(),
    started_at: time(),
    ended_at: time(),
    updated_at: time().notNull().defaultNow(),
  },
  (t) => [
    check("sae_evaluations_status", oneOf(t.status, evaluationStatuses)),
    check("sae_evaluations_progress", sql`${t.progress} >= 0 and ${t.progress} <= 1`),
    check("sae_evaluations_tokens", sql`${t.tokens} > 0`),
    check("sae_evaluations_precision", oneOf(t.precision, modelPrecisions)),
    check("sae_evaluations_kind", oneOf(t.kind, evaluationKinds)),
    check(
      "sae_evaluations_model",
      sql`(${t.kind} = 'model') = (${t.subject} is not null) and (${t.kind} = 'model') = (${t.n_sequences} is not null) and ${t.n_sequences} > 0`,
    ),
    check("sae_evaluations_done", sql`(${t.status} = 'done') = (${t.result} is not null)`),
    index("sae_evaluations_by_sae").on(t.sae_id, t.id),
    index("sae_evaluations_open").on(t.status).where(sql`${t.status} in ('queued', 'running')`),
  ],
);

/** What the installation remembers about itself, such as that the sample run has been made. */
export const settings = pgTable("settings", {
  key: text().primaryKey(),
  value: jsonb().notNull(),
  created_at: time().notNull().defaultNow(),
});
