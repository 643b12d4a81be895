import type { FacetClient } from "../../server/client.ts";

/** A safetensors file with `activations` [n_tokens, d_in], F32. */
function activationsFile(
  n_tokens: number,
  d_in: number,
  value: (token: number, column: number) => number,
): Blob {
  const header = JSON.stringify({
    activations: { dtype: "F32", shape: [n_tokens, d_in], data_offsets: [0, 4 * n_tokens * d_in] },
  });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8, " ");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const values = Float32Array.from({ length: n_tokens * d_in }, (_, at) =>
    value(Math.floor(at / d_in), at % d_in),
  );
  return new Blob([Buffer.concat([length, Buffer.from(padded), Buffer.from(values.buffer)])]);
}

export interface StoredSet {
  name: string;
  hook_name: string;
  n_tokens?: number;
  d_in: number;
}

/** Uploads a set of directions that take turns, unless one of that name is there, and waits until it is ready; its id. */
export async function storedSet(
  client: FacetClient,
  { name, hook_name, n_tokens = 2_048, d_in }: StoredSet,
): Promise<string> {
  const known = (await client.api.activationSets.list.query({ text: name })).items.find(
    (set) => set.name === name && set.status === "ready",
  );
  if (known) return known.id;
  const file = activationsFile(n_tokens, d_in, (token, column) =>
    column === token % d_in ? 1 + (token % 7) / 7 : 0,
  );
  const { id } = await client.uploadActivations(file, { name, hook_name });
  for (;;) {
    const { status, reason } = await client.api.activationSets.get.query({ id });
    if (status === "ready") return id;
    if (status === "failed") throw new Error(reason ?? "The import failed.");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
