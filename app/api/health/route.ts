import { healthRoute } from "../../../server/api/handlers.ts";

export const dynamic = "force-dynamic";

export { healthRoute as GET };
