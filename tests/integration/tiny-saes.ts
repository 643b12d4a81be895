import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { eq } from "drizzle-orm";
import { activation_sets } from "../../db/schema.ts";
import type { Sae, SaeConfig } from "../../gpu/sae/sae.ts";
import { saeShapes } from "../../gpu/sae/sae-shapes.ts";
import { importActivationSet } from "../../server/activations/import.ts";
import { writeSaeFolder } from "../../server/formats/sae-folder.ts";
import type { Services } from "../../server/services.ts";
import { until } from "./processes.ts";

/** A ReLU SAE of 4 dimensions and 8 features, but for what is given; its weights are small and all different. */
export function tinySae(given: Partial<SaeConfig> = {}): Sae {
  const config: SaeConfig = {
    activation: "relu",
    d_in: 4,
    d_out: 4,
    d_sae: 8,
    k: null,
    rescale_acts_by_decoder_norm: false,
    apply_b_dec_to_input: false,
    normalize_activations: "none",
    transcoder: false,
    skip: false,
    n_hook_points: 1,
    ...given,
    metadata: {
      model_name: "gpt2",
      hook_name: "blocks.0.hook_resid_post",
      hook_name_out: null,
      dataset_name: null,
      context_size: null,
      prepend_bos: null,
      training_architecture: "standard",
      extra: {},
      ...given.metadata,
    },
  };
  let seed = 0;
  const tensors = Object.fromEntries(
    [...saeShapes(config)].map(([name, shape]) => {
      const count = shape.reduce((product, extent) => product * extent, 1);
      const data = Float32Array.from({ length: count }, () => Math.sin(++seed));
      return [name, { shape, data: name === "threshold" ? data.map(Math.abs) : data }];
    }),
  );
  return { config, tensors };
}

/** The folder of a tiny SAE, with firing frequencies of which two are zero. */
export async function tinySaeFolder(folder: string, given: Partial<SaeConfig> = {}): Promise<Sae> {
  const sae = tinySae(given);
  const feature_frequency = Float32Array.from({ length: sae.config.d_sae }, (_, i) => (i < 2 ? 0 : i / 100));
  await writeSaeFolder(folder, sae, { feature_frequency });
  return sae;
}

/** A ready activation set of x[i, j] = sin(i · d_in + j + shift). */
export async function tinySet(
  services: Pick<Services, "db" | "env" | "background">,
  name: string,
  { n_tokens = 64, d_in = 4, shift = 0 } = {},
): Promise<string> {
  const file = path.join(services.env.home, `${name}.safetensors`);
  const header = JSON.stringify({
    activations: { dtype: "F32", shape: [n_tokens, d_in], data_offsets: [0, 4 * n_tokens * d_in] },
  });
  const head = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  const values = Float32Array.from({ length: n_tokens * d_in }, (_, i) => Math.sin(i + shift));
  await mkdir(services.env.home, { recursive: true });
  await writeFile(file, Buffer.concat([length, head, Buffer.from(values.buffer)]));
  const { id } = await importActivationSet(services, { path: file, name, hook_name: `hook.${name}` });
  await until("the set is imported", async () => {
    const [set] = await services.db.select().from(activation_sets).where(eq(activation_sets.id, id));
    return set?.status === "ready";
  });
  return id;
}
