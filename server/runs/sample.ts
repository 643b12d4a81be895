import { eq } from "drizzle-orm";
import type { OpenedDatabase } from "../../db/open.ts";
import { settings } from "../../db/schema.ts";
import { sampleSynthetic, sampleTraining } from "../../gpu/data/sample-run.ts";
import { openQueue } from "../queue.ts";
import type { CreateRunInput } from "./check.ts";
import { createRun } from "./create.ts";

const marker = "sample_run";

/** The run that a new installation makes by itself. */
export const sampleRun: CreateRunInput = {
  name: "Sample: TopK on synthetic features",
  description:
    "Made on the first start. The activations are built from known features, so the end of the run can say how many of them were found.",
  source: { kind: "synthetic", synthetic: sampleSynthetic },
  config: sampleTraining,
};

/**
 * Makes the sample run on a database that never had one, once: the marker and the run come in one transaction, and
 * deleting the run does not bring it back. Returns its id, or null when there was one.
 */
export async function ensureSampleRun(
  database: OpenedDatabase,
  url: string,
  home: string,
): Promise<string | null> {
  const { db } = database;
  const [known] = await db.select().from(settings).where(eq(settings.key, marker));
  if (known !== undefined) return null;
  const queue = await openQueue(url, {
    role: "sender",
    onError: (error) => console.error(error.message),
  });
  try {
    return await db.transaction(async (tx) => {
      const [made] = await tx
        .insert(settings)
        .values({ key: marker, value: true })
        .onConflictDoNothing()
        .returning();
      if (made === undefined) return null;
      return (await createRun(tx, queue, home, sampleRun)).id;
    });
  } finally {
    await queue.close();
  }
}
