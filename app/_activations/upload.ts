import { sendFile } from "../_data/send-file.ts";

export interface UploadFields {
  name: string;
  hook_name?: string;
  model_name?: string;
  dataset_name?: string;
  tensor?: string;
}

/** Sends a file of activations, with progress in [0, 1]; the id of the set whose import has begun. Rejects as `sendFile` does. */
export function uploadActivations(
  file: File,
  fields: UploadFields,
  following: { onProgress: (fraction: number) => void; signal: AbortSignal },
): Promise<{ id: string }> {
  return sendFile(file, { method: "PUT", address: "/api/activations", fields: { ...fields } }, following);
}
