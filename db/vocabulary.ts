// The words that the database's CHECK constraints and the views share; no imports, so the browser can have them too.

export const runStatuses = [
  "queued",
  "initializing",
  "running",
  "paused",
  "interrupted",
  "completed",
  "stopped",
  "failed",
] as const;
export const desiredStates = ["run", "pause", "stop"] as const;
export const sourceKinds = ["synthetic", "activation_set", "live"] as const;
export const checkpointReasons = ["interval", "final", "pause", "stop"] as const;
export const modelStatuses = ["importing", "ready", "failed"] as const;
export const datasetStatuses = ["importing", "ready", "failed"] as const;
export const tokenizationStatuses = ["tokenizing", "ready", "failed"] as const;
export const activationSetStatuses = ["importing", "ready", "failed"] as const;
export const captureStatuses = ["queued", "running", "done", "failed", "canceled"] as const;
/** How activations are stored. */
export const captureDtypes = ["float16", "float32"] as const;
/** How a language model's weights lie on the GPU. */
export const modelPrecisions = ["f32", "f16", "int8"] as const;
export const saeStatuses = ["importing", "ready", "failed"] as const;
/** On stored activations, or spliced into the language model. */
export const evaluationKinds = ["activations", "model"] as const;
export const evaluationStatuses = ["queued", "running", "done", "failed"] as const;
/** Types of events with a row of their own; metrics are the one type without. */
export const storedEventTypes = ["status", "progress", "checkpoint", "evaluation", "sae", "warning"] as const;
