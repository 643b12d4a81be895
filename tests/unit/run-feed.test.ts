import { expect, it } from "vitest";
import { RunFeed } from "../../app/_runs/run-feed.ts";
import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import type { LiveMessage, RunDetail } from "../../server/runs/views.ts";

const row = (step: number) => ({ step, tokens: step * 32, tokens_per_second: 1 }) as StepMetrics;
const at = "2026-01-01T00:00:00.000Z";

/** A server that holds one run, as its page is told of it. */
function server() {
  let run = { id: "run", seq: 3, step: 30, status: "running", checkpoints: [] } as unknown as RunDetail;
  let tell: (message: LiveMessage) => void = () => undefined;
  const feed = new RunFeed(
    "run",
    {
      get: () => Promise.resolve(run),
      metrics: () => Promise.resolve([10, 20, 30].map(row)),
      log: () => Promise.resolve([]),
      poll: () => Promise.resolve({ events: [], seq: run.seq }),
      live: (_id, _after, { message, connected }) => {
        tell = message;
        connected();
        return { unsubscribe: () => undefined };
      },
    },
    () => undefined,
  );
  return {
    feed,
    becomes: (change: Partial<RunDetail>) => {
      run = { ...run, ...change };
    },
    tells: (message: LiveMessage) => tell(message),
  };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

it("takes back the steps of a run that goes on from before them, and not those that came since it was asked", async () => {
  const { feed, becomes, tells } = server();
  feed.start();
  await settled();
  expect(feed.state().history.steps).toEqual([10, 20, 30]);

  // Told while an older answer is the newest there is: what came meanwhile stays.
  tells({ type: "metrics", seq: 5, at, rows: [row(40)] });
  await feed.refresh();
  expect(feed.state().history.steps).toEqual([10, 20, 30, 40]);

  becomes({ seq: 6, step: 20 });
  tells({ type: "progress", seq: 6, at, message: "Goes on from the checkpoint at step 20." });
  await settled();
  expect(feed.state().history.steps).toEqual([10, 20]);
  expect(feed.state().run?.step).toBe(20);
  feed.stop("offline");
});
