import { downloadRoute } from "../../../../server/api/handlers.ts";

export const dynamic = "force-dynamic";

export { downloadRoute as GET };
