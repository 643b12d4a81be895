import { ensureDatabase } from "../../db/embedded.ts";

// One of several starters: says whether it was the one that started the server.
const { owned } = await ensureDatabase(process.env.FACET_HOME ?? "");
console.log(owned ? "started" : "attached");
