import { readyRoute } from "../../../server/api/handlers.ts";

export const dynamic = "force-dynamic";

export { readyRoute as GET };
