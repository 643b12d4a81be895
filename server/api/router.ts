import { tracked } from "@trpc/server";
import { deleteActivationSet, deleteSetInput } from "../activations/delete.ts";
import { importActivationSet, importInput } from "../activations/import.ts";
import { getActivationSet, getSetInput, listActivationSets, listSetsInput } from "../activations/list.ts";
import { getCapture, getCaptureInput, listCaptures, listCapturesInput } from "../captures/list.ts";
import {
  cancelCapture,
  captureInput,
  captureSubjectInput,
  createCapture,
  createCaptureInput,
  deleteCapture,
  estimateCapture,
  retryCapture,
} from "../captures/request.ts";
import { deleteDataset, deleteDatasetInput } from "../datasets/delete.ts";
import { datasetDocuments, documentsInput, searchDataset, searchInput } from "../datasets/documents.ts";
import { getDataset, getDatasetInput, listDatasets, listDatasetsInput } from "../datasets/list.ts";
import {
  cancelDatasetImport,
  datasetInput,
  importDatasetFrom,
  importDatasetInput,
  retryDatasetImport,
  retryDatasetInput,
} from "../datasets/register.ts";
import { ServiceError } from "../errors.ts";
import { deleteModel, deleteModelInput } from "../models/delete.ts";
import { getModel, getModelInput, listModels, listModelsInput } from "../models/list.ts";
import {
  cancelModelImport,
  importModelFrom,
  importModelInput,
  modelInput,
  previewModelInput,
  previewModelSource,
  retryModelImport,
} from "../models/register.ts";
import { machineInput, machineReadings } from "../monitor/machine.ts";
import { checkRun, createInput } from "../runs/check.ts";
import { controlInput, controlRun } from "../runs/control.ts";
import { createRun } from "../runs/create.ts";
import { deleteInput, deleteRun } from "../runs/delete.ts";
import { getInput, getRun, logInput, runLog } from "../runs/get.ts";
import { listInput, listRuns } from "../runs/list.ts";
import { liveInput, liveRun, pollInput, pollRun } from "../runs/live.ts";
import { metricsInput, runMetrics } from "../runs/metrics.ts";
import { modelEvaluationsInput, runModelEvaluations } from "../runs/model-evaluations.ts";
import { predictInput, predictSource } from "../runs/predict.ts";
import { deleteSae, deleteSaeInput } from "../saes/delete.ts";
import {
  deleteEvaluation,
  deleteEvaluationInput,
  evaluateInModelInput,
  evaluateInput,
  evaluateSaeInModel,
  evaluateSaeOn,
} from "../saes/evaluate.ts";
import { exportSaeInput, exportSaeTo } from "../saes/export.ts";
import { getSae, getSaeInput } from "../saes/get.ts";
import { importSaeFrom, importSaeInput, inspectInput, inspectPath } from "../saes/import.ts";
import { listSaes, listSaesInput } from "../saes/list.ts";
import { systemStatus } from "../system.ts";
import { deleteTokenization, deleteTokenizationInput } from "../tokens/delete.ts";
import {
  getTokenization,
  getTokenizationInput,
  listTokenizations,
  listTokenizationsInput,
} from "../tokens/list.ts";
import {
  cancelTokenization,
  createTokenization,
  createTokenizationInput,
  previewTokenization,
  previewTokensInput,
  retryTokenization,
  tokenizationInput,
} from "../tokens/register.ts";
import { sequencesInput, tokenizationSequences } from "../tokens/sequences.ts";
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
  predict: procedure
    .input(predictInput)
    .query(({ ctx: { services }, input }) => predictSource(services.db, services.env.home, input)),
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
  modelEvaluations: procedure
    .input(modelEvaluationsInput)
    .query(({ ctx, input }) => runModelEvaluations(ctx.services.db, input)),
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

const modelsRouter = router({
  list: procedure.input(listModelsInput).query(({ ctx, input }) => listModels(ctx.services.db, input)),
  get: procedure.input(getModelInput).query(({ ctx, input }) => getModel(ctx.services.db, input)),
  preview: procedure
    .input(previewModelInput)
    .query(({ ctx, input, signal }) => previewModelSource(ctx.services, input, signal)),
  import: procedure
    .input(importModelInput)
    .mutation(({ ctx, input }) => importModelFrom(ctx.services, input)),
  cancel: procedure.input(modelInput).mutation(({ ctx, input }) => cancelModelImport(ctx.services, input)),
  retry: procedure.input(modelInput).mutation(({ ctx, input }) => retryModelImport(ctx.services, input)),
  delete: procedure
    .input(deleteModelInput)
    .mutation(({ ctx: { services }, input }) => deleteModel(services.db, services.env.home, input)),
});

const datasetsRouter = router({
  list: procedure.input(listDatasetsInput).query(({ ctx, input }) => listDatasets(ctx.services.db, input)),
  get: procedure.input(getDatasetInput).query(({ ctx, input }) => getDataset(ctx.services.db, input)),
  import: procedure
    .input(importDatasetInput)
    .mutation(({ ctx, input }) => importDatasetFrom(ctx.services, input)),
  documents: procedure
    .input(documentsInput)
    .query(({ ctx: { services }, input }) => datasetDocuments(services.db, services.env.home, input)),
  search: procedure
    .input(searchInput)
    .query(({ ctx: { services }, input }) => searchDataset(services.db, services.env.home, input)),
  cancel: procedure
    .input(datasetInput)
    .mutation(({ ctx, input }) => cancelDatasetImport(ctx.services, input)),
  retry: procedure
    .input(retryDatasetInput)
    .mutation(({ ctx, input }) => retryDatasetImport(ctx.services, input)),
  delete: procedure
    .input(deleteDatasetInput)
    .mutation(({ ctx: { services }, input }) => deleteDataset(services.db, services.env.home, input)),
});

const tokenizationsRouter = router({
  list: procedure
    .input(listTokenizationsInput)
    .query(({ ctx, input }) => listTokenizations(ctx.services.db, input)),
  get: procedure
    .input(getTokenizationInput)
    .query(({ ctx, input }) => getTokenization(ctx.services.db, input)),
  preview: procedure
    .input(previewTokensInput)
    .query(({ ctx, input }) => previewTokenization(ctx.services, input)),
  create: procedure
    .input(createTokenizationInput)
    .mutation(({ ctx, input }) => createTokenization(ctx.services, input)),
  sequences: procedure
    .input(sequencesInput)
    .query(({ ctx: { services }, input }) => tokenizationSequences(services.db, services.env.home, input)),
  cancel: procedure
    .input(tokenizationInput)
    .mutation(({ ctx, input }) => cancelTokenization(ctx.services, input)),
  retry: procedure
    .input(tokenizationInput)
    .mutation(({ ctx, input }) => retryTokenization(ctx.services, input)),
  delete: procedure
    .input(deleteTokenizationInput)
    .mutation(({ ctx: { services }, input }) => deleteTokenization(services.db, services.env.home, input)),
});

const capturesRouter = router({
  list: procedure.input(listCapturesInput).query(({ ctx, input }) => listCaptures(ctx.services.db, input)),
  get: procedure.input(getCaptureInput).query(({ ctx, input }) => getCapture(ctx.services.db, input)),
  estimate: procedure
    .input(captureSubjectInput)
    .query(({ ctx: { services }, input }) => estimateCapture(services.db, services.env.home, input)),
  create: procedure
    .input(createCaptureInput)
    .mutation(({ ctx: { services }, input }) =>
      createCapture(services.db, services.queue, services.env.home, input),
    ),
  cancel: procedure
    .input(captureInput)
    .mutation(({ ctx: { services }, input }) => cancelCapture(services.db, services.env.home, input)),
  retry: procedure
    .input(captureInput)
    .mutation(({ ctx: { services }, input }) => retryCapture(services.db, services.queue, input)),
  delete: procedure
    .input(captureInput)
    .mutation(({ ctx: { services }, input }) => deleteCapture(services.db, services.env.home, input)),
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
  evaluateInModel: procedure
    .input(evaluateInModelInput)
    .mutation(({ ctx: { services }, input }) => evaluateSaeInModel(services.db, services.queue, input)),
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
  models: modelsRouter,
  datasets: datasetsRouter,
  tokenizations: tokenizationsRouter,
  captures: capturesRouter,
  runs: runsRouter,
  activationSets: activationSetsRouter,
  saes: saesRouter,
  system: systemRouter,
});
export type AppRouter = typeof appRouter;
