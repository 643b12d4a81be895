import type { Invocation, KnownOptions } from "./commands.ts";

interface ServerCommand {
  /** Words after the command's name. */
  words: number;
  options: KnownOptions;
  load(): Promise<(invocation: Invocation) => Promise<void>>;
}

/** Commands that ask a server. */
export const serverCommands: Record<string, ServerCommand> = {
  "models import": {
    words: 1,
    options: ["name", "revision"],
    load: async () => (await import("./models.ts")).importModel,
  },
  "models list": { words: 0, options: ["text"], load: async () => (await import("./models.ts")).listModels },
  "models show": { words: 1, options: [], load: async () => (await import("./models.ts")).showModel },
  "models delete": { words: 1, options: [], load: async () => (await import("./models.ts")).deleteModel },
  "tokenizations list": {
    words: 0,
    options: ["text", "dataset", "model"],
    load: async () => (await import("./tokenizations.ts")).listTokenizations,
  },
  "tokenizations create": {
    words: 0,
    options: [
      ...["dataset", "model", "name"],
      ...["context-size", "bos", "separator", "remainder", "held-out"],
    ],
    load: async () => (await import("./tokenizations.ts")).createTokenization,
  },
  "tokenizations delete": {
    words: 1,
    options: [],
    load: async () => (await import("./tokenizations.ts")).deleteTokenization,
  },
  "captures list": {
    words: 0,
    options: ["text"],
    load: async () => (await import("./captures.ts")).listCaptures,
  },
  "captures create": {
    words: 0,
    options: [
      ...["model", "tokenization", "hooks", "name", "dtype"],
      ...["exclude-token", "batch-size", "watch"],
    ],
    load: async () => (await import("./captures.ts")).createCapture,
  },
  "captures watch": { words: 1, options: [], load: async () => (await import("./captures.ts")).watchCapture },
  "captures cancel": {
    words: 1,
    options: [],
    load: async () => (await import("./captures.ts")).cancelCapture,
  },
  "captures delete": {
    words: 1,
    options: [],
    load: async () => (await import("./captures.ts")).deleteCapture,
  },
  "activations import": {
    words: 1,
    options: ["name", "hook-name", "model-name", "dataset-name", "tensor", "upload"],
    load: async () => (await import("./activations.ts")).importSet,
  },
  "activations list": {
    words: 0,
    options: ["text"],
    load: async () => (await import("./activations.ts")).listSets,
  },
  "activations delete": {
    words: 1,
    options: [],
    load: async () => (await import("./activations.ts")).deleteSet,
  },
  "datasets import": {
    words: 1,
    options: [
      ...["name", "text-column", "split-on", "separator", "limit-documents", "limit-characters", "upload"],
      ...["revision", "config", "split"],
    ],
    load: async () => (await import("./datasets.ts")).importDataset,
  },
  "datasets list": {
    words: 0,
    options: ["text"],
    load: async () => (await import("./datasets.ts")).listDatasets,
  },
  "datasets show": {
    words: 1,
    options: [],
    load: async () => (await import("./datasets.ts")).showStoredDataset,
  },
  "datasets delete": {
    words: 1,
    options: [],
    load: async () => (await import("./datasets.ts")).deleteDataset,
  },
  "runs list": {
    words: 0,
    options: ["status", "text", "model", "dataset", "limit"],
    load: async () => (await import("./runs.ts")).listAll,
  },
  "runs show": { words: 1, options: [], load: async () => (await import("./runs.ts")).showOne },
  "runs create": { words: 1, options: "any", load: async () => (await import("./runs.ts")).createOne },
  "runs watch": {
    words: 1,
    options: [],
    load: async () => {
      const { watchRun } = await import("./runs.ts");
      return (invocation) => watchRun(invocation, invocation.words[0]!);
    },
  },
  "runs pause": {
    words: 1,
    options: [],
    load: async () => {
      const { controlOne } = await import("./runs.ts");
      return (invocation) => controlOne(invocation, "pause");
    },
  },
  "runs resume": {
    words: 1,
    options: [],
    load: async () => {
      const { controlOne } = await import("./runs.ts");
      return (invocation) => controlOne(invocation, "resume");
    },
  },
  "runs stop": {
    words: 1,
    options: [],
    load: async () => {
      const { controlOne } = await import("./runs.ts");
      return (invocation) => controlOne(invocation, "stop");
    },
  },
  "runs cancel": {
    words: 1,
    options: [],
    load: async () => {
      const { controlOne } = await import("./runs.ts");
      return (invocation) => controlOne(invocation, "cancel");
    },
  },
  "runs retry": {
    words: 1,
    options: [],
    load: async () => {
      const { controlOne } = await import("./runs.ts");
      return (invocation) => controlOne(invocation, "retry");
    },
  },
  "runs delete": { words: 1, options: [], load: async () => (await import("./runs.ts")).deleteOne },
  "saes list": {
    words: 0,
    options: ["text", "kind"],
    load: async () => (await import("./saes.ts")).listSaes,
  },
  "saes show": { words: 1, options: [], load: async () => (await import("./saes.ts")).showSae },
  "saes import": { words: 1, options: ["name"], load: async () => (await import("./saes.ts")).importSae },
  "saes download": {
    words: 1,
    options: ["format", "out"],
    load: async () => (await import("./saes.ts")).downloadSae,
  },
  "saes evaluate": {
    words: 1,
    options: ["set", "tokens", "model", "tokenization", "hook-name", "sequences"],
    load: async () => (await import("./saes.ts")).evaluateSae,
  },
  "saes delete": { words: 1, options: [], load: async () => (await import("./saes.ts")).deleteSae },
  status: { words: 0, options: [], load: async () => (await import("./status.ts")).status },
};
