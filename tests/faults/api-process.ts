import { environment } from "../../server/environment.ts";
import { openServices } from "../../server/services.ts";
import { serveApi } from "../integration/serve-api.ts";

// The API in a process of its own, so that it can be killed.
const env = environment();
const { url } = await serveApi(await openServices(env), env.port);
console.log(`Serves ${url}`);
