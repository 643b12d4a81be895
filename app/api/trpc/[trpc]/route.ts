import { trpcRoute } from "../../../../server/api/handlers.ts";

export const dynamic = "force-dynamic";

export { trpcRoute as GET, trpcRoute as POST };
