import { datasetUploadRoute } from "../../../server/api/handlers.ts";

export const dynamic = "force-dynamic";

export { datasetUploadRoute as POST };
