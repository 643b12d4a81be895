import { tracked } from "@trpc/server";
import { deleteActivationSet, deleteSetInput } from "../activations/delete.ts";
import { importActivationSet, importInput } from "../activations/import.ts";
import { getActivationSet, getSetInput, listActivationSets, listSetsInput } from "../activations/list.ts";
import { ServiceError } from "../errors.ts";
import { machineInput, machineReadings } from "../monitor/machine.ts";
import { checkRun, createInput } from "../runs/check.ts";
import { controlInput, controlRun } from "../runs/control.ts";
import { createRun } from "../runs/create.ts";
import { deleteInput, deleteRun } from "../runs/delete.ts";
import { getInput, getRun, logInput, runLog } from "../runs/get.ts";
import { listInput, listRuns } from "../runs/list.ts";
import { liveInput, liveRun, pollInput, pollRun } from "../runs/live.ts";
import { metricsInput, runMetrics } from "../runs/metrics.ts";
import { deleteSae, deleteSaeInput } from "../saes/delete.ts";
import { deleteEvaluation, deleteEvaluationInput, evaluateInput, evaluateSaeOn } from "../saes/evaluate.ts";
import { exportSaeInput, exportSaeTo } from "../saes/export.ts";
import { getSae, getSaeInput } from "../saes/get.ts";
import { importSaeFrom, importSaeInput, inspectInput, inspectPath } from "../saes/import.ts";
import { listSaes, listSaesInput } from "../saes/list.ts";
import { systemStatus } from "../system.ts";
import { procedure, router, toTrpcError } from "./trpc.ts";

const runsRouter = router({
  list: procedure.input(listInput).query(({ ctx, input }) => listRuns(ctx.services.db, input)),
  get: procedure.input(getInput).query(({ ctx, input }) => getRun(ctx.services.db, input)),
  check: procedure
    .input(createInput)
    .query(({ ctx, input }) => checkRun(ctx.services.db, ctx.services.env.home, input)),
  create: procedure
    .input(createInput)
    .mutation(({ ctx, input }) =>
      createRun(ctx.services.db, ctx.services.queue, ctx.services.env.home, input),
    ),
  control: procedure
    .input(controlInput)
    .mutation(({ ctx: { services }, input }) =>
      controlRun(services.db, services.queue, services.env.home, input),
    ),
  delete: procedure
    .input(deleteInput)
    .mutation(({ ctx: { services }, input }) =>
      deleteRun(services.db, services.queue, services.env.home, input),
    ),
  metrics: procedure.input(metricsInput).query(({ ctx, input }) => runMetrics(ctx.services.db, input)),
  events: procedure.input(logInput).query(({ ctx, input }) => runLog(ctx.services.db, input)),
  live: procedure.input(liveInput).subscription(async function* ({ ctx, input, signal }) {
    try {
      const { db, signals } = ctx.services;
      for await (const { seq, message } of liveRun(
        db,
        signals,
        input,
        signal ?? new AbortController().signal,
      )) {
        yield tracked(String(seq), message);
      }
    } catch (error) {
      // A generator's errors come after the middleware has returned.
      throw error instanceof ServiceError ? toTrpcError(error) : error;
    }
  }),
  poll: procedure.input(pollInput).query(({ ctx, input }) => pollRun(ctx.services.db, input)),
});

const activationSetsRouter = router({
  list: procedure.input(listSetsInput).query(({ ctx, input }) => listActivationSets(ctx.services.db, input)),
  get: procedure.input(getSetInput).query(({ ctx, input }) => getActivationSet(ctx.services.db, input)),
  import: procedure.input(importInput).mutation(({ ctx, input }) => importActivationSet(ctx.services, input)),
  delete: procedure
    .input(deleteSetInput)
    .mutation(({ ctx: { services }, input }) => deleteActivationSet(services.db, services.env.home, input)),
});

const saesRouter = router({
  list: procedure.input(listSaesInput).query(({ ctx, input }) => listSaes(ctx.services.db, input)),
  get: procedure.input(getSaeInput).query(({ ctx, input }) => getSae(ctx.services.db, input)),
  inspect: procedure.input(inspectInput).query(({ ctx, input }) => inspectPath(ctx.services, input)),
  import: procedure.input(importSaeInput).mutation(({ ctx, input }) => importSaeFrom(ctx.services, input)),
  export: procedure
    .input(exportSaeInput)
    .mutation(({ ctx: { services }, input }) => exportSaeTo(services.db, services.env.home, input)),
  evaluate: procedure
    .input(evaluateInput)
    .mutation(({ ctx: { services }, input }) => evaluateSaeOn(services.db, services.queue, input)),
  deleteEvaluation: procedure
    .input(deleteEvaluationInput)
    .mutation(({ ctx, input }) => deleteEvaluation(ctx.services.db, input)),
  delete: procedure
    .input(deleteSaeInput)
    .mutation(({ ctx: { services }, input }) => deleteSae(services.db, services.env.home, input)),
});

const systemRouter = router({
  status: procedure.query(({ ctx }) => systemStatus(ctx.services)),
  machine: procedure
    .input(machineInput)
    .query(({ ctx, input }) => machineReadings(ctx.services.monitor, input)),
});

export const appRouter = router({
  runs: runsRouter,
  activationSets: activationSetsRouter,
  saes: saesRouter,
  system: systemRouter,
});
export type AppRouter = typeof appRouter;
