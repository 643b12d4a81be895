import { InvalidInputError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import type { Services } from "../services.ts";
import { parametersOf, receiveUpload } from "../uploads.ts";
import { beginImport, setDescriptionSchema } from "./import.ts";

/**
 * Takes a safetensors file as the raw body of a request, described by query parameters (`name`, `hook_name`,
 * `model_name`, `dataset_name`, `tensor`), streams it to FACET_HOME/uploads and begins its import. Throws
 * `ServiceError` too_large past the limit, `InvalidInputError` for the parameters or a body that was cut off.
 */
export async function uploadActivationSet(
  services: Pick<Services, "db" | "env" | "background">,
  request: Request,
): Promise<{ id: string }> {
  const description = parseWithFaults(setDescriptionSchema, parametersOf(request), "");
  if (description.data === null) throw new InvalidInputError(description.faults);
  const file = await receiveUpload(services, request, ".safetensors");
  const origin = description.data.name ?? "upload";
  return beginImport(services, { file, origin, description: description.data, temporary: true });
}
