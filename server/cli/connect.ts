import { createFacetClient, type FacetClient } from "../client.ts";
import { environment, storedToken } from "../environment.ts";
import type { Invocation } from "./commands.ts";
import { UsageError } from "./usage.ts";

/** A client of the server that --url, PORT and the home name. */
export function connect(options: Invocation["options"]): FacetClient {
  const env = environment();
  const url = options.get("url")?.at(-1) ?? `http://127.0.0.1:${env.port}`;
  if (!URL.canParse(url)) throw new UsageError(`--url ${url} is not an address.`);
  const token = options.get("token")?.at(-1) ?? env.token ?? storedToken(env.home);
  return createFacetClient(token === null ? { url } : { url, token });
}
