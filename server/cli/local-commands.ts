import type { KnownOptions, LocalInvocation } from "./commands.ts";

interface LocalCommand {
  /** Words after the command's name. */
  words: number;
  /** Every command reads what it needs only when it is called, so that each starts as fast as it can. */
  load(): Promise<{ options: KnownOptions; run(invocation: LocalInvocation): Promise<number> }>;
}

/** Commands that work on this machine's files and GPU, and ask no server. They return the exit code. */
export const localCommands: Record<string, LocalCommand> = {
  train: {
    words: 0,
    load: async () => {
      const it = await import("../headless/train.ts");
      return { options: "any", run: it.train };
    },
  },
  eval: {
    words: 0,
    load: async () => {
      const it = await import("../headless/eval.ts");
      return { options: it.evalOptions, run: it.evaluate };
    },
  },
  inspect: {
    words: 1,
    load: async () => {
      const it = await import("../headless/inspect.ts");
      return { options: [], run: it.inspect };
    },
  },
  export: {
    words: 0,
    load: async () => {
      const it = await import("../headless/convert.ts");
      return { options: ["sae", "format", "out"], run: it.exportTo };
    },
  },
  import: {
    words: 1,
    load: async () => {
      const it = await import("../headless/convert.ts");
      return { options: ["out"], run: it.importFrom };
    },
  },
  synth: {
    words: 0,
    load: async () => {
      const it = await import("../headless/synth.ts");
      return { options: "any", run: it.synth };
    },
  },
  capture: {
    words: 0,
    load: async () => {
      const it = await import("../headless/capture.ts");
      const { captureOptions } = await import("../headless/capture-request.ts");
      return { options: captureOptions, run: it.capture };
    },
  },
  "model inspect": {
    words: 1,
    load: async () => {
      const it = await import("../headless/model-inspect.ts");
      return { options: [], run: it.inspectModel };
    },
  },
  "dataset import": {
    words: 1,
    load: async () => {
      const it = await import("../headless/dataset-import.ts");
      return { options: it.datasetImportOptions, run: it.importDatasetTo };
    },
  },
  "dataset show": {
    words: 1,
    load: async () => {
      const it = await import("../headless/dataset-show.ts");
      return { options: it.datasetShowOptions, run: it.showDataset };
    },
  },
  tokenize: {
    words: 0,
    load: async () => {
      const it = await import("../headless/tokenize.ts");
      return { options: it.tokenizeOptions, run: it.tokenize };
    },
  },
  "model preview": {
    words: 1,
    load: async () => {
      const it = await import("../headless/model-preview.ts");
      return { options: it.modelPreviewOptions, run: it.previewModelOf };
    },
  },
  "model import": {
    words: 1,
    load: async () => {
      const it = await import("../headless/model-import.ts");
      return { options: it.modelImportOptions, run: it.importModelTo };
    },
  },
  "model generate": {
    words: 0,
    load: async () => {
      const it = await import("../headless/generate.ts");
      const { generateOptions } = await import("../headless/generate-request.ts");
      return { options: generateOptions, run: it.generateText };
    },
  },
};
