import { openGpu } from "../../gpu/device/node.ts";
import { type Generated, generate } from "../../gpu/lm/generate.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { InvalidInputError } from "../errors.ts";
import { loadModel } from "../models/load-model.ts";
import { type ModelFolder, openModelFolder } from "../models/model-folder.ts";
import { type ModelTokenizer, openModelTokenizer } from "../tokens/model-tokenizer.ts";
import { TokenizerError } from "../tokens/tokenizer-error.ts";
import { exitCode } from "./exit-code.ts";
import { type GenerateRequest, generateRequest } from "./generate-request.ts";
import { Interruption } from "./interruption.ts";

/** New tokens where nobody says how many. */
const usualTokens = 50;

/** What was generated. */
interface GenerateSummary {
  model: string;
  prompt_ids: number[];
  ids: number[];
  /** Prompt and what follows it; null where the prompt was given in tokens. */
  text: string | null;
  ended: Generated["ended"];
  seconds: number;
  tokens_per_second: number;
  adapter: string;
}

/** `facet model generate`: goes on with a text. */
export async function generateText({ output, options, json }: LocalInvocation): Promise<number> {
  const request = generateRequest(options);
  const interruption = new Interruption();
  try {
    const summary = await generated(request, interruption.signal);
    if (json) output.out(JSON.stringify(summary));
    else {
      output.out(summary.text ?? summary.ids.join(","));
      const { ids, tokens_per_second, ended, adapter } = summary;
      const end = ended === "stop" ? ", and the end of the text" : "";
      output.err(`${ids.length} tokens${end}, ${tokens_per_second.toPrecision(3)} tokens/s on ${adapter}.`);
    }
    return exitCode.done;
  } finally {
    interruption.dispose();
  }
}

async function generated(request: GenerateRequest, signal: AbortSignal): Promise<GenerateSummary> {
  const model = await openModelFolder(request.model);
  try {
    const { prompt: given, precision, temperature, top_k, top_p, seed } = request;
    const tokenizer = typeof given === "string" ? await openModelTokenizer(request.model) : null;
    const prompt = typeof given === "string" ? idsOf(tokenizer!, given) : given;
    const max_new_tokens = roomFor(model, prompt, request);
    const gpu = await openGpu(request.adapter === null ? {} : { adapter: request.adapter });
    try {
      const size = { hooks: [], n_sequences: 1, length: prompt.length + max_new_tokens };
      const language = await loadModel(
        model,
        { gpu, ...size, logits: true, cached: true, precision },
        signal,
      );
      const began = performance.now();
      const { ids, ended } = await generate({
        ...{ model: language, prompt, max_new_tokens, temperature, top_k, top_p, seed, signal },
        stop: endsOf(model),
      });
      const seconds = (performance.now() - began) / 1_000;
      language.close();
      return {
        ...{
          model: model.name,
          prompt_ids: prompt,
          ids,
          text: textOf(tokenizer, [...prompt, ...ids]),
          ended,
        },
        ...{ seconds, tokens_per_second: ids.length / seconds, adapter: gpu.capabilities.adapter },
      };
    } finally {
      gpu.close();
    }
  } finally {
    await model.close();
  }
}

/** New tokens to make. Throws `InvalidInputError` where the prompt or what is to follow it does not fit the model. */
function roomFor({ spec }: ModelFolder, prompt: readonly number[], request: GenerateRequest): number {
  const path = typeof request.prompt === "string" ? "--prompt" : "--tokens";
  const beyond = prompt.find((id) => id >= spec.d_vocab);
  if (prompt.length === 0) throw new InvalidInputError([{ path, message: "It has no token." }]);
  if (beyond !== undefined) {
    const message = `It has the id ${beyond}, but the model's ids are 0 to ${spec.d_vocab - 1}.`;
    throw new InvalidInputError([{ path, message }]);
  }
  const room = spec.n_ctx - prompt.length;
  if (room < 1) {
    const message = `It has ${prompt.length} tokens, and the model takes ${spec.n_ctx} with what follows.`;
    throw new InvalidInputError([{ path, message }]);
  }
  const wanted = request.max_new_tokens;
  if (wanted === null) return Math.min(usualTokens, room);
  if (wanted <= room) return wanted;
  const message = `After ${prompt.length} tokens the model has room for ${room}, not for ${wanted}.`;
  throw new InvalidInputError([{ path: "--max-new-tokens", message }]);
}

/** Ids that end a text, by config.json. */
function endsOf({ config }: ModelFolder): number[] {
  const { eos_token_id: id } = config;
  return (Array.isArray(id) ? id : [id]).filter((one) => Number.isSafeInteger(one)) as number[];
}

/** With the special tokens that the tokenizer itself puts around a text, such as one for its beginning. */
function idsOf({ file, tokenizer }: ModelTokenizer, text: string): number[] {
  const { ids, tokens } = tokenizer.encode(text);
  const unknown = ids.findIndex((id: number | undefined) => id === undefined);
  if (unknown < 0) return ids;
  const token = JSON.stringify(tokens[unknown]?.slice(0, 60));
  throw new TokenizerError(`${file} has no token for ${token}, nor one for what is unknown.`);
}

/** Without special tokens. */
function textOf(model: ModelTokenizer | null, ids: readonly number[]): string | null {
  return model?.tokenizer.decode([...ids], { skip_special_tokens: true }) ?? null;
}
