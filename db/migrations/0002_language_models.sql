CREATE TABLE "captures" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"model_id" uuid NOT NULL,
	"tokenization_id" uuid NOT NULL,
	"hooks" text[] NOT NULL,
	"dtype" text NOT NULL,
	"options" jsonb NOT NULL,
	"status" text DEFAULT 'queued' NOT NULL,
	"progress" jsonb,
	"reason" text,
	"attempt" integer DEFAULT 0 NOT NULL,
	"interruptions" integer DEFAULT 0 NOT NULL,
	"worker_id" uuid,
	"estimate" jsonb NOT NULL,
	"tokens_per_second" double precision,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"ended_at" timestamp with time zone,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "captures_status" CHECK ("captures"."status" in ('queued', 'running', 'done', 'failed', 'canceled')),
	CONSTRAINT "captures_name" CHECK (length("captures"."name") between 1 and 200),
	CONSTRAINT "captures_dtype" CHECK ("captures"."dtype" in ('float16', 'float32')),
	CONSTRAINT "captures_hooks" CHECK (cardinality("captures"."hooks") between 1 and 64),
	CONSTRAINT "captures_counters" CHECK ("captures"."attempt" >= 0 and "captures"."interruptions" >= 0),
	CONSTRAINT "captures_ended" CHECK (("captures"."status" in ('done', 'failed', 'canceled')) = ("captures"."ended_at" is not null))
);
--> statement-breakpoint
CREATE TABLE "datasets" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"status" text DEFAULT 'importing' NOT NULL,
	"progress" jsonb,
	"reason" text,
	"attempt" integer DEFAULT 1 NOT NULL,
	"origin" text NOT NULL,
	"source" jsonb NOT NULL,
	"options" jsonb NOT NULL,
	"n_documents" bigint,
	"n_characters" bigint,
	"bytes" bigint,
	"sha256" text,
	"statistics" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "datasets_status" CHECK ("datasets"."status" in ('importing', 'ready', 'failed')),
	CONSTRAINT "datasets_name" CHECK (length("datasets"."name") between 1 and 200),
	CONSTRAINT "datasets_sizes" CHECK ("datasets"."n_documents" > 0 and "datasets"."n_characters" >= 0 and "datasets"."bytes" >= 0 and "datasets"."attempt" > 0),
	CONSTRAINT "datasets_ready" CHECK ("datasets"."status" <> 'ready' or ("datasets"."n_documents" is not null and "datasets"."n_characters" is not null and "datasets"."bytes" is not null and "datasets"."sha256" is not null and "datasets"."statistics" is not null))
);
--> statement-breakpoint
CREATE TABLE "models" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"status" text DEFAULT 'importing' NOT NULL,
	"progress" jsonb,
	"reason" text,
	"attempt" integer DEFAULT 1 NOT NULL,
	"origin" text NOT NULL,
	"source" jsonb NOT NULL,
	"model_type" text,
	"spec" jsonb,
	"parameters" bigint,
	"bytes" bigint,
	"sha256" text,
	"has_tokenizer" boolean,
	"tokenizer_sha256" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "models_status" CHECK ("models"."status" in ('importing', 'ready', 'failed')),
	CONSTRAINT "models_name" CHECK (length("models"."name") between 1 and 200),
	CONSTRAINT "models_sizes" CHECK ("models"."parameters" > 0 and "models"."bytes" > 0 and "models"."attempt" > 0),
	CONSTRAINT "models_ready" CHECK ("models"."status" <> 'ready' or ("models"."model_type" is not null and "models"."spec" is not null and "models"."parameters" is not null and "models"."bytes" is not null and "models"."sha256" is not null and "models"."has_tokenizer" is not null))
);
--> statement-breakpoint
CREATE TABLE "tokenizations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"dataset_id" uuid NOT NULL,
	"model_id" uuid NOT NULL,
	"status" text DEFAULT 'tokenizing' NOT NULL,
	"progress" jsonb,
	"reason" text,
	"attempt" integer DEFAULT 1 NOT NULL,
	"options" jsonb NOT NULL,
	"tokenizer_sha256" text NOT NULL,
	"context_size" integer NOT NULL,
	"n_sequences" bigint,
	"held_out_sequences" bigint,
	"n_documents" bigint,
	"n_text_tokens" bigint,
	"n_special_tokens" bigint,
	"n_padding_tokens" bigint,
	"statistics" jsonb,
	"bytes" bigint,
	"hash" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "tokenizations_hash" UNIQUE("hash"),
	CONSTRAINT "tokenizations_status" CHECK ("tokenizations"."status" in ('tokenizing', 'ready', 'failed')),
	CONSTRAINT "tokenizations_name" CHECK (length("tokenizations"."name") between 1 and 200),
	CONSTRAINT "tokenizations_sizes" CHECK ("tokenizations"."context_size" > 0 and "tokenizations"."n_sequences" > 0 and "tokenizations"."held_out_sequences" >= 0 and "tokenizations"."held_out_sequences" < "tokenizations"."n_sequences" and "tokenizations"."n_text_tokens" > 0 and "tokenizations"."bytes" > 0 and "tokenizations"."attempt" > 0),
	CONSTRAINT "tokenizations_ready" CHECK ("tokenizations"."status" <> 'ready' or ("tokenizations"."n_sequences" is not null and "tokenizations"."held_out_sequences" is not null and "tokenizations"."n_documents" is not null and "tokenizations"."n_text_tokens" is not null and "tokenizations"."n_special_tokens" is not null and "tokenizations"."n_padding_tokens" is not null and "tokenizations"."bytes" is not null))
);
--> statement-breakpoint
ALTER TABLE "activation_sets" DROP CONSTRAINT "activation_sets_n_tokens";--> statement-breakpoint
ALTER TABLE "activation_sets" ADD COLUMN "model_id" uuid;--> statement-breakpoint
ALTER TABLE "activation_sets" ADD COLUMN "tokenization_id" uuid;--> statement-breakpoint
ALTER TABLE "activation_sets" ADD COLUMN "capture_id" uuid;--> statement-breakpoint
ALTER TABLE "activation_sets" ADD COLUMN "held_out_tokens" bigint;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "model_id" uuid;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "tokenization_id" uuid;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "hooks" text[];--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD COLUMN "kind" text DEFAULT 'activations' NOT NULL;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD COLUMN "subject" jsonb;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD COLUMN "model_id" uuid;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD COLUMN "tokenization_id" uuid;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD COLUMN "n_sequences" integer;--> statement-breakpoint
ALTER TABLE "captures" ADD CONSTRAINT "captures_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "public"."models"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "captures" ADD CONSTRAINT "captures_tokenization_id_tokenizations_id_fk" FOREIGN KEY ("tokenization_id") REFERENCES "public"."tokenizations"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "captures" ADD CONSTRAINT "captures_worker_id_workers_id_fk" FOREIGN KEY ("worker_id") REFERENCES "public"."workers"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tokenizations" ADD CONSTRAINT "tokenizations_dataset_id_datasets_id_fk" FOREIGN KEY ("dataset_id") REFERENCES "public"."datasets"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tokenizations" ADD CONSTRAINT "tokenizations_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "public"."models"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "captures_by_model" ON "captures" USING btree ("model_id");--> statement-breakpoint
CREATE INDEX "captures_by_tokenization" ON "captures" USING btree ("tokenization_id");--> statement-breakpoint
CREATE INDEX "captures_open" ON "captures" USING btree ("status") WHERE "captures"."status" in ('queued', 'running');--> statement-breakpoint
CREATE INDEX "datasets_by_name" ON "datasets" USING btree (lower("name"),"id");--> statement-breakpoint
CREATE INDEX "models_by_name" ON "models" USING btree (lower("name"),"id");--> statement-breakpoint
CREATE INDEX "tokenizations_by_dataset" ON "tokenizations" USING btree ("dataset_id","id");--> statement-breakpoint
CREATE INDEX "tokenizations_by_model" ON "tokenizations" USING btree ("model_id","id");--> statement-breakpoint
ALTER TABLE "activation_sets" ADD CONSTRAINT "activation_sets_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "public"."models"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "activation_sets" ADD CONSTRAINT "activation_sets_tokenization_id_tokenizations_id_fk" FOREIGN KEY ("tokenization_id") REFERENCES "public"."tokenizations"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "activation_sets" ADD CONSTRAINT "activation_sets_capture_id_captures_id_fk" FOREIGN KEY ("capture_id") REFERENCES "public"."captures"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "public"."models"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_tokenization_id_tokenizations_id_fk" FOREIGN KEY ("tokenization_id") REFERENCES "public"."tokenizations"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD CONSTRAINT "sae_evaluations_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "public"."models"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD CONSTRAINT "sae_evaluations_tokenization_id_tokenizations_id_fk" FOREIGN KEY ("tokenization_id") REFERENCES "public"."tokenizations"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "activation_sets_by_model" ON "activation_sets" USING btree ("model_id");--> statement-breakpoint
CREATE INDEX "activation_sets_by_tokenization" ON "activation_sets" USING btree ("tokenization_id");--> statement-breakpoint
CREATE INDEX "activation_sets_by_capture" ON "activation_sets" USING btree ("capture_id");--> statement-breakpoint
CREATE INDEX "runs_by_model" ON "runs" USING btree ("model_id");--> statement-breakpoint
CREATE INDEX "runs_by_tokenization" ON "runs" USING btree ("tokenization_id");--> statement-breakpoint
ALTER TABLE "activation_sets" ADD CONSTRAINT "activation_sets_captured" CHECK (("activation_sets"."model_id" is null) = ("activation_sets"."tokenization_id" is null) and ("activation_sets"."capture_id" is null or "activation_sets"."model_id" is not null));--> statement-breakpoint
ALTER TABLE "activation_sets" ADD CONSTRAINT "activation_sets_n_tokens" CHECK ("activation_sets"."n_tokens" > 0 and "activation_sets"."held_out_tokens" >= 0);--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_source_kind" CHECK ("runs"."source_kind" in ('synthetic', 'activation_set', 'live'));--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_live" CHECK (("runs"."source_kind" = 'live') = ("runs"."model_id" is not null) and ("runs"."source_kind" = 'live') = ("runs"."tokenization_id" is not null) and ("runs"."source_kind" = 'live') = ("runs"."hooks" is not null));--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD CONSTRAINT "sae_evaluations_kind" CHECK ("sae_evaluations"."kind" in ('activations', 'model'));--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD CONSTRAINT "sae_evaluations_model" CHECK (("sae_evaluations"."kind" = 'model') = ("sae_evaluations"."subject" is not null) and ("sae_evaluations"."kind" = 'model') = ("sae_evaluations"."n_sequences" is not null) and "sae_evaluations"."n_sequences" > 0);