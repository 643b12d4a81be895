import { TRPCClientError } from "@trpc/client";
import { DivergedError, StateMismatchError } from "../../gpu/sae/errors.ts";
import { faultsOf } from "../client.ts";
import { EnvironmentError } from "../environment.ts";
import { InvalidInputError, ServiceError } from "../errors.ts";
import { exitCode, InterruptedError } from "../headless/exit-code.ts";
import type { Output } from "./commands.ts";
import { UsageError } from "./usage.ts";

/** Of a command without a server: what is wrong with the input is told apart from what failed. */
export function reportLocal(error: unknown, output: Output): number {
  if (error instanceof InvalidInputError) {
    for (const { path, message } of error.faults) output.err(`${path}: ${message}`);
    return exitCode.wrong;
  }
  if (error instanceof UsageError || error instanceof EnvironmentError) return report(error, output);
  output.err(error instanceof Error ? error.message : String(error));
  if (error instanceof InterruptedError) return error.exitCode;
  if (error instanceof DivergedError) return exitCode.diverged;
  const input = error instanceof ServiceError && (error.code === "invalid" || error.code === "conflict");
  return input || error instanceof StateMismatchError ? exitCode.wrong : exitCode.failed;
}

/** Of a command that asks a server. Returns the exit code. */
export function report(error: unknown, output: Output): number {
  if (error instanceof UsageError) {
    output.err(`${error.message} See npm run facet -- --help`);
    return 2;
  }
  if (error instanceof EnvironmentError) {
    output.err(error.message);
    return 2;
  }
  const faults = faultsOf(error);
  if (faults.length > 0) {
    for (const { path, message } of faults) output.err(path === "" ? message : `${path}: ${message}`);
    return 1;
  }
  output.err(isUnreachable(error) ? unreachable : error instanceof Error ? error.message : String(error));
  return 1;
}

const unreachable =
  "No Facet server answers there. Start one with npm start, or name another with --url or PORT.";

function isUnreachable(error: unknown): boolean {
  const cause = error instanceof TRPCClientError ? error.cause : error;
  return cause instanceof TypeError && cause.message === "fetch failed";
}
