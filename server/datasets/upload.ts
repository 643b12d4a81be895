import { z } from "zod";
import { InvalidInputError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import type { Services } from "../services.ts";
import { parametersOf, receiveUpload } from "../uploads.ts";
import { endingOf } from "./kept-upload.ts";
import { datasetDescriptionSchema, importUploadedDataset } from "./register.ts";

const parametersSchema = z.strictObject({
  /** Its ending says what it is: .txt, .jsonl, .csv, .parquet, also with .gz or .zst. */
  file_name: z
    .string()
    .trim()
    .min(1)
    .max(200)
    .regex(/^[^/\\\0]+$/, "A file's name has no slash.")
    .meta({ label: "The file's name" }),
  name: z.string().optional(),
  text_column: z.string().optional(),
  split_on: z.string().optional(),
  /** Between two documents, instead of `split_on`. */
  separator: z.string().optional(),
  limit_documents: z.coerce.number().optional(),
  limit_characters: z.coerce.number().optional(),
});

/**
 * Takes a file of texts as the raw body of a request, described by query parameters, streams it to FACET_HOME/uploads
 * and begins its import. Throws `ServiceError` too_large past the limit, `InvalidInputError` for the parameters or a body
 * that was cut off.
 */
export async function uploadDataset(
  services: Pick<Services, "db" | "env" | "background">,
  request: Request,
): Promise<{ id: string }> {
  const parameters = parseWithFaults(parametersSchema, parametersOf(request), "");
  if (parameters.data === null) throw new InvalidInputError(parameters.faults);
  const { file_name, name, separator, split_on, ...options } = parameters.data;
  const split = separator === undefined ? split_on : { separator };
  const description = parseWithFaults(
    datasetDescriptionSchema,
    { name, options: { ...options, ...(split === undefined ? {} : { split_on: split }) } },
    "",
  );
  if (description.data === null) throw new InvalidInputError(description.faults);
  const file = await receiveUpload(services, request, endingOf(file_name));
  return importUploadedDataset(services, { file, file_name, description: description.data });
}
