CREATE TABLE "activation_sets" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"hook_name" text NOT NULL,
	"model_name" text,
	"dataset_name" text,
	"status" text DEFAULT 'importing' NOT NULL,
	"progress" double precision DEFAULT 0 NOT NULL,
	"reason" text,
	"origin" text NOT NULL,
	"tensor" text,
	"source_dtype" text,
	"n_tokens" bigint,
	"d_in" integer,
	"bytes" bigint,
	"sha256" text,
	"mean_norm" double precision,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "activation_sets_status" CHECK ("activation_sets"."status" in ('importing', 'ready', 'failed')),
	CONSTRAINT "activation_sets_progress" CHECK ("activation_sets"."progress" >= 0 and "activation_sets"."progress" <= 1),
	CONSTRAINT "activation_sets_n_tokens" CHECK ("activation_sets"."n_tokens" > 0),
	CONSTRAINT "activation_sets_d_in" CHECK ("activation_sets"."d_in" > 0),
	CONSTRAINT "activation_sets_bytes" CHECK ("activation_sets"."bytes" >= 0),
	CONSTRAINT "activation_sets_ready" CHECK ("activation_sets"."status" <> 'ready' or ("activation_sets"."n_tokens" is not null and "activation_sets"."d_in" is not null and "activation_sets"."bytes" is not null and "activation_sets"."sha256" is not null))
);
--> statement-breakpoint
CREATE TABLE "checkpoints" (
	"id" uuid PRIMARY KEY NOT NULL,
	"run_id" uuid NOT NULL,
	"step" integer NOT NULL,
	"reason" text NOT NULL,
	"path" text NOT NULL,
	"bytes" bigint NOT NULL,
	"duration_ms" double precision NOT NULL,
	"sha256" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "checkpoints_run_step" UNIQUE("run_id","step"),
	CONSTRAINT "checkpoints_reason" CHECK ("checkpoints"."reason" in ('interval', 'final', 'pause', 'stop')),
	CONSTRAINT "checkpoints_step" CHECK ("checkpoints"."step" >= 0),
	CONSTRAINT "checkpoints_bytes" CHECK ("checkpoints"."bytes" >= 0 and "checkpoints"."duration_ms" >= 0)
);
--> statement-breakpoint
CREATE TABLE "run_events" (
	"run_id" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"type" text NOT NULL,
	"body" jsonb NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "run_events_run_id_seq_pk" PRIMARY KEY("run_id","seq"),
	CONSTRAINT "run_events_type" CHECK ("run_events"."type" in ('status', 'progress', 'checkpoint', 'sae', 'warning')),
	CONSTRAINT "run_events_seq" CHECK ("run_events"."seq" > 0)
);
--> statement-breakpoint
CREATE TABLE "run_metrics" (
	"run_id" uuid NOT NULL,
	"step" integer NOT NULL,
	"hook_name" text NOT NULL,
	"seq" bigint NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"tokens" bigint NOT NULL,
	"loss" double precision NOT NULL,
	"mse_loss" double precision NOT NULL,
	"aux_loss" double precision NOT NULL,
	"l0" double precision NOT NULL,
	"explained_variance" double precision NOT NULL,
	"fvu" double precision NOT NULL,
	"dead_features" integer NOT NULL,
	"grad_norm" double precision NOT NULL,
	"lr" double precision NOT NULL,
	"tokens_per_second" double precision NOT NULL,
	"gpu_bytes" bigint NOT NULL,
	CONSTRAINT "run_metrics_run_id_step_hook_name_pk" PRIMARY KEY("run_id","step","hook_name"),
	CONSTRAINT "run_metrics_seq" UNIQUE("run_id","seq"),
	CONSTRAINT "run_metrics_step" CHECK ("run_metrics"."step" >= 0),
	CONSTRAINT "run_metrics_counts" CHECK ("run_metrics"."tokens" >= 0 and "run_metrics"."dead_features" >= 0 and "run_metrics"."gpu_bytes" >= 0),
	CONSTRAINT "run_metrics_l0" CHECK ("run_metrics"."l0" >= 0)
);
--> statement-breakpoint
CREATE TABLE "runs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"status" text DEFAULT 'queued' NOT NULL,
	"desired" text DEFAULT 'run' NOT NULL,
	"source_kind" text NOT NULL,
	"synthetic" jsonb,
	"activation_set_id" uuid,
	"hook_name" text NOT NULL,
	"config" jsonb NOT NULL,
	"total_steps" integer NOT NULL,
	"step" integer DEFAULT 0 NOT NULL,
	"latest" jsonb,
	"fvu" double precision,
	"last_seq" bigint DEFAULT 0 NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"interruptions" integer DEFAULT 0 NOT NULL,
	"worker_id" uuid,
	"reason" text,
	"planned_bytes" bigint,
	"peak_bytes" bigint,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"ended_at" timestamp with time zone,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "runs_status" CHECK ("runs"."status" in ('queued', 'initializing', 'running', 'paused', 'interrupted', 'completed', 'stopped', 'failed')),
	CONSTRAINT "runs_desired" CHECK ("runs"."desired" in ('run', 'pause', 'stop')),
	CONSTRAINT "runs_source" CHECK (("runs"."source_kind" = 'synthetic' and "runs"."synthetic" is not null and "runs"."activation_set_id" is null)
        or ("runs"."source_kind" = 'activation_set' and "runs"."synthetic" is null and "runs"."activation_set_id" is not null)),
	CONSTRAINT "runs_name" CHECK (length("runs"."name") between 1 and 200),
	CONSTRAINT "runs_step" CHECK ("runs"."step" >= 0 and "runs"."step" <= "runs"."total_steps"),
	CONSTRAINT "runs_total_steps" CHECK ("runs"."total_steps" > 0),
	CONSTRAINT "runs_counters" CHECK ("runs"."last_seq" >= 0 and "runs"."attempt" >= 0 and "runs"."interruptions" >= 0),
	CONSTRAINT "runs_memory" CHECK ("runs"."planned_bytes" >= 0 and "runs"."peak_bytes" >= 0),
	CONSTRAINT "runs_ended" CHECK (("runs"."status" in ('completed', 'stopped', 'failed')) = ("runs"."ended_at" is not null))
);
--> statement-breakpoint
CREATE TABLE "saes" (
	"id" uuid PRIMARY KEY NOT NULL,
	"run_id" uuid NOT NULL,
	"hook_name" text NOT NULL,
	"path" text NOT NULL,
	"bytes" bigint NOT NULL,
	"sha256" text NOT NULL,
	"evaluation" jsonb NOT NULL,
	"recovery" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "saes_run_hook" UNIQUE("run_id","hook_name"),
	CONSTRAINT "saes_bytes" CHECK ("saes"."bytes" >= 0)
);
--> statement-breakpoint
CREATE TABLE "settings" (
	"key" text PRIMARY KEY NOT NULL,
	"value" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workers" (
	"id" uuid PRIMARY KEY NOT NULL,
	"host" text NOT NULL,
	"pid" integer NOT NULL,
	"adapter" text,
	"software" boolean,
	"capabilities" jsonb,
	"memory_bytes" bigint,
	"started_at" timestamp with time zone DEFAULT now() NOT NULL,
	"heartbeat_at" timestamp with time zone DEFAULT now() NOT NULL,
	"stopped_at" timestamp with time zone,
	CONSTRAINT "workers_pid" CHECK ("workers"."pid" > 0),
	CONSTRAINT "workers_memory" CHECK ("workers"."memory_bytes" > 0)
);
--> statement-breakpoint
ALTER TABLE "checkpoints" ADD CONSTRAINT "checkpoints_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "run_events" ADD CONSTRAINT "run_events_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "run_metrics" ADD CONSTRAINT "run_metrics_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_activation_set_id_activation_sets_id_fk" FOREIGN KEY ("activation_set_id") REFERENCES "public"."activation_sets"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_worker_id_workers_id_fk" FOREIGN KEY ("worker_id") REFERENCES "public"."workers"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "saes" ADD CONSTRAINT "saes_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "activation_sets_names" ON "activation_sets" USING btree ("model_name","dataset_name");--> statement-breakpoint
CREATE INDEX "activation_sets_status_index" ON "activation_sets" USING btree ("status","id");--> statement-breakpoint
CREATE INDEX "runs_by_status" ON "runs" USING btree ("status","id");--> statement-breakpoint
CREATE INDEX "runs_by_name" ON "runs" USING btree (lower("name"),"id");--> statement-breakpoint
CREATE INDEX "runs_by_fvu_ascending" ON "runs" USING btree (coalesce("fvu", 'NaN'::float8),"id");--> statement-breakpoint
CREATE INDEX "runs_by_fvu_descending" ON "runs" USING btree (coalesce("fvu", '-Infinity'::float8),"id");--> statement-breakpoint
CREATE INDEX "runs_by_activation_set" ON "runs" USING btree ("activation_set_id");--> statement-breakpoint
CREATE INDEX "runs_by_worker" ON "runs" USING btree ("worker_id");--> statement-breakpoint
CREATE INDEX "workers_heartbeat" ON "workers" USING btree ("heartbeat_at");