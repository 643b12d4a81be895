CREATE TABLE "run_activation_sets" (
	"run_id" uuid NOT NULL,
	"position" integer NOT NULL,
	"activation_set_id" uuid NOT NULL,
	CONSTRAINT "run_activation_sets_run_id_position_pk" PRIMARY KEY("run_id","position"),
	CONSTRAINT "run_activation_sets_position" CHECK ("run_activation_sets"."position" >= 0)
);
--> statement-breakpoint
CREATE TABLE "sae_evaluations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"sae_id" uuid NOT NULL,
	"status" text DEFAULT 'queued' NOT NULL,
	"progress" double precision DEFAULT 0 NOT NULL,
	"reason" text,
	"sets" jsonb NOT NULL,
	"tokens" bigint NOT NULL,
	"result" jsonb,
	"worker_id" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"ended_at" timestamp with time zone,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "sae_evaluations_status" CHECK ("sae_evaluations"."status" in ('queued', 'running', 'done', 'failed')),
	CONSTRAINT "sae_evaluations_progress" CHECK ("sae_evaluations"."progress" >= 0 and "sae_evaluations"."progress" <= 1),
	CONSTRAINT "sae_evaluations_tokens" CHECK ("sae_evaluations"."tokens" > 0),
	CONSTRAINT "sae_evaluations_done" CHECK (("sae_evaluations"."status" = 'done') = ("sae_evaluations"."result" is not null))
);
--> statement-breakpoint
ALTER TABLE "runs" DROP CONSTRAINT "runs_source";--> statement-breakpoint
ALTER TABLE "runs" DROP CONSTRAINT "runs_activation_set_id_activation_sets_id_fk";
--> statement-breakpoint
DROP INDEX "runs_by_activation_set";--> statement-breakpoint
ALTER TABLE "saes" ALTER COLUMN "run_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "saes" ALTER COLUMN "hook_name" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "saes" ALTER COLUMN "bytes" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "saes" ALTER COLUMN "sha256" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "saes" ALTER COLUMN "evaluation" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "run_metrics" ADD COLUMN "sparsity_loss" double precision DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "run_metrics" ALTER COLUMN "sparsity_loss" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "run_metrics" ADD COLUMN "sparsity_coefficient" double precision DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "run_metrics" ALTER COLUMN "sparsity_coefficient" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "status" text DEFAULT 'ready' NOT NULL;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "reason" text;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "origin" text;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "format" text DEFAULT 'facet' NOT NULL;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "architecture" text;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "model_name" text;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "dataset_name" text;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "d_in" integer;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "d_out" integer;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "d_sae" integer;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "config" jsonb;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "histograms" jsonb;--> statement-breakpoint
ALTER TABLE "saes" ADD COLUMN "updated_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "run_activation_sets" ADD CONSTRAINT "run_activation_sets_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "run_activation_sets" ADD CONSTRAINT "run_activation_sets_activation_set_id_activation_sets_id_fk" FOREIGN KEY ("activation_set_id") REFERENCES "public"."activation_sets"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD CONSTRAINT "sae_evaluations_sae_id_saes_id_fk" FOREIGN KEY ("sae_id") REFERENCES "public"."saes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD CONSTRAINT "sae_evaluations_worker_id_workers_id_fk" FOREIGN KEY ("worker_id") REFERENCES "public"."workers"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "run_activation_sets_by_set" ON "run_activation_sets" USING btree ("activation_set_id");--> statement-breakpoint
CREATE INDEX "sae_evaluations_by_sae" ON "sae_evaluations" USING btree ("sae_id","id");--> statement-breakpoint
CREATE INDEX "sae_evaluations_open" ON "sae_evaluations" USING btree ("status") WHERE "sae_evaluations"."status" in ('queued', 'running');--> statement-breakpoint
CREATE INDEX "saes_by_name" ON "saes" USING btree (lower("name"),"id");--> statement-breakpoint
-- The sets of the runs so far, and what an SAE's row now says by itself. Until now every SAE was a TopK one of one set.
INSERT INTO "run_activation_sets" ("run_id", "position", "activation_set_id")
	SELECT "id", 0, "activation_set_id" FROM "runs" WHERE "activation_set_id" IS NOT NULL;
--> statement-breakpoint
UPDATE "saes" SET
	"name" = "runs"."name",
	"architecture" = "runs"."config" ->> 'architecture',
	"d_in" = ("runs"."config" ->> 'd_in')::integer,
	"d_out" = ("runs"."config" ->> 'd_in')::integer,
	"d_sae" = ("runs"."config" ->> 'd_sae')::integer,
	"model_name" = "activation_sets"."model_name",
	"dataset_name" = "activation_sets"."dataset_name"
	FROM "runs" LEFT JOIN "activation_sets" ON "activation_sets"."id" = "runs"."activation_set_id"
	WHERE "runs"."id" = "saes"."run_id";
--> statement-breakpoint
ALTER TABLE "saes" ALTER COLUMN "name" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" DROP COLUMN "activation_set_id";--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_source" CHECK (("runs"."source_kind" = 'synthetic') = ("runs"."synthetic" is not null));--> statement-breakpoint
ALTER TABLE "saes" ADD CONSTRAINT "saes_status" CHECK ("saes"."status" in ('importing', 'ready', 'failed'));--> statement-breakpoint
ALTER TABLE "saes" ADD CONSTRAINT "saes_name" CHECK (length("saes"."name") between 1 and 200);--> statement-breakpoint
ALTER TABLE "saes" ADD CONSTRAINT "saes_sizes" CHECK ("saes"."d_in" > 0 and "saes"."d_out" > 0 and "saes"."d_sae" > 0);--> statement-breakpoint
ALTER TABLE "saes" ADD CONSTRAINT "saes_ready" CHECK ("saes"."status" <> 'ready' or ("saes"."architecture" is not null and "saes"."d_in" is not null and "saes"."d_out" is not null and "saes"."d_sae" is not null and "saes"."bytes" is not null and "saes"."sha256" is not null));--> statement-breakpoint
ALTER TABLE "saes" ADD CONSTRAINT "saes_trained" CHECK ("saes"."run_id" is null or ("saes"."status" = 'ready' and "saes"."hook_name" is not null and "saes"."evaluation" is not null));