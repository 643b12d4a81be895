CREATE TABLE "run_model_evaluations" (
	"run_id" uuid NOT NULL,
	"step" integer NOT NULL,
	"hook_name" text NOT NULL,
	"n_sequences" integer NOT NULL,
	"figures" jsonb NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "run_model_evaluations_run_id_step_hook_name_pk" PRIMARY KEY("run_id","step","hook_name"),
	CONSTRAINT "run_model_evaluations_counts" CHECK ("run_model_evaluations"."step" > 0 and "run_model_evaluations"."n_sequences" > 0)
);
--> statement-breakpoint
ALTER TABLE "run_events" DROP CONSTRAINT "run_events_type";--> statement-breakpoint
ALTER TABLE "captures" ADD COLUMN "precision" text DEFAULT 'f32' NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "precision" text DEFAULT 'f32' NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "eval_every_steps" integer;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "eval_sequences" integer DEFAULT 64 NOT NULL;--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD COLUMN "precision" text DEFAULT 'f32' NOT NULL;--> statement-breakpoint
ALTER TABLE "run_model_evaluations" ADD CONSTRAINT "run_model_evaluations_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "captures" ADD CONSTRAINT "captures_precision" CHECK ("captures"."precision" in ('f32', 'f16', 'int8'));--> statement-breakpoint
ALTER TABLE "run_events" ADD CONSTRAINT "run_events_type" CHECK ("run_events"."type" in ('status', 'progress', 'checkpoint', 'evaluation', 'sae', 'warning'));--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_precision" CHECK ("runs"."precision" in ('f32', 'f16', 'int8'));--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_evaluation" CHECK ("runs"."eval_every_steps" > 0 and "runs"."eval_sequences" > 0);--> statement-breakpoint
ALTER TABLE "sae_evaluations" ADD CONSTRAINT "sae_evaluations_precision" CHECK ("sae_evaluations"."precision" in ('f32', 'f16', 'int8'));