/*
 * Every architecture's training step in float64, written for plainness from the equations at the heads of
 * gpu/sae/*.ts: dense loops, level by level, no sharing of work with the kernels.
 */
export { forward, lossAndGradients } from "./sae/losses.ts";
export { varianceMetrics } from "./sae/metrics.ts";
export { parameterShapes } from "./sae/problem.ts";
export { largest } from "./sae/selection.ts";
export { newState, type ReferenceState } from "./sae/state.ts";
export { contextAt, trainStep } from "./sae/train-step.ts";
export type { Context, Held, LossAndGradients, Parameters } from "./sae/types.ts";
