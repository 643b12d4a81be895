/** A safetensors file of float32 tensors, written without a line of ours. */
export function safetensorsOf(tensors: Record<string, { shape: number[]; values: number[] }>): Buffer {
  const entries: string[] = [];
  const data: Buffer[] = [];
  let end = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    const bytes = Buffer.alloc(4 * values.length);
    for (const [at, value] of values.entries()) bytes.writeFloatLE(value, 4 * at);
    entries.push(
      `${JSON.stringify(name)}:{"dtype":"F32","shape":[${shape}],"data_offsets":[${end},${end + bytes.length}]}`,
    );
    end += bytes.length;
    data.push(bytes);
  }
  return safetensorsWith(`{${entries.join(",")}}`, Buffer.concat(data));
}

/** A safetensors file with this header text. */
export function safetensorsWith(header: string, data: Uint8Array, claimed?: bigint): Buffer {
  const text = Buffer.from(header, "utf8");
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(claimed ?? BigInt(text.length));
  return Buffer.concat([prefix, text, data]);
}
