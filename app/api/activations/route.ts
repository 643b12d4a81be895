import { uploadRoute } from "../../../server/api/handlers.ts";

export const dynamic = "force-dynamic";

export { uploadRoute as PUT };
