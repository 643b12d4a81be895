import { link, withLoggerAsync } from "wesl/core";
import { ShaderError } from "./errors.ts";
import { type ReadShader, readShaders, type ShaderName } from "./shaders.ts";

/** What distinguishes one pipeline from another. */
export interface PipelineRequest {
  /** File in shaders/, without `.wgsl`. */
  shader: ShaderName;
  /** Default "main". */
  entryPoint?: string;
  /** `@if(name)` in the shader; a name that is not given is false. */
  conditions?: Record<string, boolean>;
  /** `import constants::NAME;` in the shader. Whole numbers arrive as abstract integers. */
  constants?: Record<string, number>;
}

/** Links and compiles each distinct request once; equal requests share one pipeline, also while it is being built. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #read: ReadShader;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  #sources: Promise<Record<string, string>> | null = null;

  constructor(device: GPUDevice, read: ReadShader) {
    this.#device = device;
    this.#read = read;
  }

  /** Distinct pipelines built or being built. */
  get size(): number {
    return this.#pipelines.size;
  }

  /**
   * A compute pipeline with layout "auto": a binding the entry point does not use is not in its layout.
   * @throws ShaderError with the linked WGSL and its line numbers.
   */
  compute(request: PipelineRequest): Promise<GPUComputePipeline> {
    const key = requestKey(request);
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    const building = this.#build(request);
    this.#pipelines.set(key, building);
    return building;
  }

  async #build(request: PipelineRequest): Promise<GPUComputePipeline> {
    const { shader, entryPoint = "main" } = request;
    const code = await this.#link(request);
    this.#device.pushErrorScope("validation");
    const module = this.#device.createShaderModule({ label: shader, code });
    const scope = this.#device.popErrorScope();
    const { messages } = await module.getCompilationInfo();
    const error = await scope;
    if (error !== null) {
      const faults = messages.filter(({ type }) => type === "error");
      const reason = faults.map((m) => `line ${m.lineNum}:${m.linePos}: ${m.message}`).join("\n");
      throw new ShaderError(shader, reason || error.message, numberLines(code));
    }
    try {
      return await this.#device.createComputePipelineAsync({
        label: `${shader}/${entryPoint}`,
        layout: "auto",
        compute: { module, entryPoint },
      });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ShaderError(shader, reason, numberLines(code), cause);
    }
  }

  async #link({ shader, conditions = {}, constants = {} }: PipelineRequest): Promise<string> {
    this.#sources ??= readShaders(this.#read);
    const weslSrc = await this.#sources;
    return inTurn(async () => {
      // The linker writes the place of a fault to its log, not into its error.
      const log: string[] = [];
      try {
        const linked = await withLoggerAsync(
          (...lines) => log.push(lines.join(" ")),
          () => link({ weslSrc, rootModuleName: shader, conditions, constants, sourceMap: false }),
        );
        return linked.dest;
      } catch (cause) {
        log.push(cause instanceof Error ? cause.message : String(cause));
        throw new ShaderError(shader, `does not link:\n${log.join("\n")}`, null);
      }
    });
  }
}

let lastTurn: Promise<unknown> = Promise.resolve();

/** One link at a time, because the linker's log is one variable for all of them. */
function inTurn<T>(task: () => Promise<T>): Promise<T> {
  const turn = lastTurn.then(task, task);
  lastTurn = turn;
  return turn;
}

/** Equal for requests that mean the same, whatever the order in which their keys were written. */
function requestKey({
  shader,
  entryPoint = "main",
  conditions = {},
  constants = {},
}: PipelineRequest): string {
  const sorted = <T>(record: Record<string, T>) =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([shader, entryPoint, sorted(conditions).filter(([, on]) => on), sorted(constants)]);
}

function numberLines(code: string): string {
  return code
    .split("\n")
    .map((line, index) => `${String(index + 1).padStart(4)} | ${line}`)
    .join("\n");
}
