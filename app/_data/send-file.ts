import { z } from "zod";

const acceptedSchema = z.object({ id: z.string() });
const refusedSchema = z.object({ error: z.object({ message: z.string() }) });

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Sends a file to the server as it is read, with progress in [0, 1]. Resolves to the id of what is being imported from
 * it; rejects with the server's own words. XMLHttpRequest, because fetch does not tell how much has been sent.
 * @param fields Go along as query parameters, where they say something.
 */
export function sendFile(
  file: File,
  { method, address, fields }: { method: "PUT" | "POST"; address: string; fields: Record<string, string> },
  { onProgress, signal }: { onProgress: (fraction: number) => void; signal: AbortSignal },
): Promise<{ id: string }> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams(Object.entries(fields).filter(([, value]) => value));
    request.open(method, `${address}?${query}`);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.onprogress = ({ loaded, total }) => onProgress(total > 0 ? loaded / total : 0);
    request.onload = () => {
      const answer = parsed(request.responseText);
      const accepted = acceptedSchema.safeParse(answer);
      if (request.status < 300 && accepted.success) {
        resolve(accepted.data);
        return;
      }
      const refused = refusedSchema.safeParse(answer);
      reject(
        new Error(
          refused.success
            ? refused.data.error.message
            : `The server refused the file (status ${request.status}).`,
        ),
      );
    };
    request.onerror = () =>
      reject(new Error("The connection broke off while the file was being sent. Try again."));
    request.onabort = () => reject(new Error("The upload was cancelled."));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}
