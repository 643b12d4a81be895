import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { type LmCase, lmCaseName, lmSpec } from "./lm-cases.ts";
import { type Summary, summarize } from "./summary.ts";

/** The same blocks by torch on this machine's CPU, in f32. */
export interface TorchResult {
  case: string;
  torch: string;
  threads: number;
  tokens_per_second: Summary;
}

const script = fileURLToPath(new URL("peer-forward.py", import.meta.url));
const said = z.object({
  torch: z.string(),
  threads: z.number().int().positive(),
  tokens_per_second: z.array(z.number().positive()).min(1),
});

/** Whether `python` can import torch. */
export function hasTorch(python: string): boolean {
  return spawnSync(python, ["-c", "import torch"], { stdio: "ignore" }).status === 0;
}

/** Times a case in torch; weights are f32 whatever the case's precision. Throws where Python does not end well. */
export function timeTorch(python: string, lmCase: LmCase, repetitions: number): TorchResult {
  const spec = lmSpec(lmCase);
  const { d_model, n_layers, n_heads, n_kv_heads, d_head, d_mlp } = spec;
  const input = JSON.stringify({
    ...{ d_model, n_layers, n_heads, n_kv_heads, d_head, d_mlp, repetitions },
    ...{ gated: spec.mlp.gated, rms: spec.norm.kind === "rms" },
    ...{ n_sequences: lmCase.n_sequences, length: lmCase.length },
  });
  const { status, stdout, stderr } = spawnSync(python, [script], { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`${python} ${script} ended with ${status}: ${stderr.slice(-500)}`);
  const { torch, threads, tokens_per_second } = said.parse(JSON.parse(stdout));
  return { case: lmCaseName(lmCase), torch, threads, tokens_per_second: summarize(tokens_per_second) };
}
