import { chmod, mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { TRPCClientError } from "@trpc/client";
import { eq } from "drizzle-orm";
import { inject } from "vitest";
import { runningPostmaster } from "../../db/embedded/postmaster.ts";
import { livingProcess } from "../../db/embedded/process.ts";
import { ensureDatabase } from "../../db/embedded.ts";
import { type OpenedDatabase, openDatabase } from "../../db/open.ts";
import { runs, workers } from "../../db/schema.ts";
import { createFacetClient, type FacetClient } from "../../server/client.ts";
import { endedStatuses, heldStatuses } from "../../server/runs/state-machine.ts";
import type { RunControl, RunStatus } from "../../server/runs/views.ts";
import { type FreshDatabase, freshDatabase } from "../integration/database.ts";
import { descendants, type Program, startProgram, until } from "../integration/processes.ts";
import { smallRunInput } from "../integration/worker-runs.ts";
import type { Kill } from "./kill-plan.ts";

/** How a run stands, from its row and that of the worker it names. */
export interface Standing {
  status: RunStatus;
  desired: string;
  step: number;
  total: number;
  attempt: number;
  /** Deaths since the newest checkpoint. */
  interruptions: number;
  reason: string | null;
  pid: number | null;
  host: string | null;
}

const trainerProgram = "trainer-process.ts";
const apiProgram = fileURLToPath(new URL("./api-process.ts", import.meta.url));
const otherMachine = new URL("./other-machine.mjs", import.meta.url).href;
/** A state may be untrue for so long after a kill: ten seconds of silence, and the reaper's next round. */
const truthMs = 20_000;
const patienceMs = 300_000;

/** Facet as it runs on machines, each part a process that can be killed: API, workers, database. */
export class FaultSystem {
  readonly home: string;
  readonly client: FacetClient;
  readonly #database: FreshDatabase;
  readonly #port: number;
  #observed: OpenedDatabase;
  #api: Program;
  #closing = false;
  readonly #workers = new Map<"here" | "there", Program>();
  readonly #frozen = new Set<number>();

  private constructor(database: FreshDatabase, home: string, port: number) {
    this.#database = database;
    this.home = home;
    this.#port = port;
    this.client = createFacetClient({ url: `http://127.0.0.1:${port}` });
    this.#observed = openDatabase(database.url, { connections: 2, name: "faults" });
    this.#api = this.#startApi();
  }

  static async start(): Promise<FaultSystem> {
    const home = await mkdtemp(path.join(os.tmpdir(), "facet-kills-"));
    await chmod(home, 0o755);
    const system = new FaultSystem(await freshDatabase(), home, await freePort());
    system.#startWorker("here");
    await system.#served();
    return system;
  }

  get services(): { db: OpenedDatabase["db"] } {
    return { db: this.#observed.db };
  }

  /** Ends everything in order; true when every worker said goodbye with status 0. */
  async close(): Promise<boolean> {
    this.#closing = true;
    for (const worker of this.#workers.values()) worker.signal("SIGTERM");
    const endings = await Promise.all([...this.#workers.values()].map(({ ended }) => ended));
    this.#api.signal("SIGKILL");
    await this.#api.ended;
    await this.#observed.close();
    await this.#database.drop();
    await rm(this.home, { recursive: true, force: true });
    return endings.every((ending) => ending === 0);
  }

  /** What the workers said, for a failure's report. */
  output(): string {
    return [...this.#workers].map(([machine, { output }]) => `--- worker ${machine}\n${output()}`).join("\n");
  }

  /** Makes the run through the API; a request whose answer is lost is looked for before it is sent again. */
  async create(name: string, config: Parameters<typeof smallRunInput>[1]): Promise<string> {
    for (const deadline = Date.now() + patienceMs; ; ) {
      try {
        return (await this.client.api.runs.create.mutate(smallRunInput(name, config))).id;
      } catch (error) {
        if (!isOutage(error) || Date.now() > deadline) throw error;
        await this.#served();
        const { items } = await patient(() => this.client.api.runs.list.query({ text: name }));
        const made = items.find((run) => run.name === name);
        if (made !== undefined) return made.id;
      }
    }
  }

  /** Asks for a control until it is answered. A refusal is fine where an answer was lost and the wish is fulfilled. */
  async ask(id: string, control: Exclude<RunControl, "delete">): Promise<void> {
    let lost = false;
    for (const deadline = Date.now() + patienceMs; ; ) {
      try {
        await this.client.api.runs.control.mutate({ id, control });
        return;
      } catch (error) {
        if (lost && error instanceof TRPCClientError && error.data?.code === "CONFLICT") return;
        if (!isOutage(error) || Date.now() > deadline) throw error;
        lost = true;
        await sleep(50);
      }
    }
  }

  async standing(id: string): Promise<Standing> {
    const [row] = await patient(() =>
      this.#observed.db
        .select({
          status: runs.status,
          desired: runs.desired,
          step: runs.step,
          total: runs.total_steps,
          attempt: runs.attempt,
          interruptions: runs.interruptions,
          reason: runs.reason,
          pid: workers.pid,
          host: workers.host,
        })
        .from(runs)
        .leftJoin(workers, eq(workers.id, runs.worker_id))
        .where(eq(runs.id, id)),
    );
    if (row === undefined) throw new Error(`There is no run ${id}.`);
    return row;
  }

  async untilStanding(id: string, what: string, look: (standing: Standing) => boolean): Promise<Standing> {
    let seen: Standing | null = null;
    try {
      return await until(
        what,
        async () => {
          seen = await this.standing(id);
          return look(seen) && seen;
        },
        patienceMs,
      );
    } catch (cause) {
      throw new Error(`${what}: ${JSON.stringify(seen)}\n${this.output()}`, { cause });
    }
  }

  /** Kills, or freezes, waits until what is said of the run is true, and starts again what was killed. */
  async strike(kill: Kill, id: string | null): Promise<void> {
    switch (kill.victim) {
      case "api":
        this.#api.signal("SIGKILL");
        await this.#api.ended;
        await sleep(kill.downMs);
        this.#api = this.#startApi();
        await this.#served();
        break;
      case "database":
        await this.#killDatabase(kill.downMs);
        break;
      case "trainer":
        for (const worker of this.#workers.values()) killTrainers(worker);
        break;
      case "worker":
        await this.#killWorker(kill, id);
        break;
      case "freeze":
        await this.#freezeWorker(kill, id);
        break;
    }
    if (id !== null) await this.#untilTrue(id);
  }

  /** What is said of the run and is not so; null when all is. */
  async untruth(id: string): Promise<string | null> {
    const { status, pid } = await this.standing(id);
    if (!heldStatuses.includes(status)) return null;
    if (pid === null || livingProcess(pid) === null) return `${status} under worker ${pid}, which is dead`;
    if (this.#frozen.has(pid)) return `${status} under worker ${pid}, which does not answer`;
    if (descendants(pid, trainerProgram).length > 0) return null;
    // Between the trainer's last word and the worker's.
    const now = await this.standing(id);
    return heldStatuses.includes(now.status) && now.pid === pid ? `${status}, and nothing trains` : null;
  }

  async #untilTrue(id: string): Promise<void> {
    let untruth: string | null = null;
    await until(
      "what is said of the run is true",
      async () => {
        untruth = await this.untruth(id);
        return untruth === null;
      },
      truthMs,
      200,
    ).catch((cause: unknown) => {
      throw new Error(
        `${truthMs / 1_000} s after the kill the run is said to be ${untruth}.\n${this.output()}`,
        {
          cause,
        },
      );
    });
  }

  async #killDatabase(downMs: number): Promise<void> {
    const home = inject("postgresHome");
    const server = runningPostmaster(path.join(home, "postgres", "data"));
    if (server === null) throw new Error("The database does not run.");
    process.kill(server.pid, "SIGKILL");
    await sleep(downMs);
    await ensureDatabase(home);
  }

  /** The machine whose worker holds the run, or the one that is there. */
  async #holder(id: string | null): Promise<["here" | "there", Program]> {
    const pid = id === null ? null : (await this.standing(id)).pid;
    const all = [...this.#workers];
    const found = all.find(([, worker]) => worker.pid === pid) ?? all[0];
    if (found === undefined) throw new Error("There is no worker.");
    return found;
  }

  async #killWorker({ left, downMs }: Kill, id: string | null): Promise<void> {
    const [machine, worker] = await this.#holder(id);
    const trainers = descendants(worker.pid, trainerProgram);
    worker.signal("SIGKILL");
    await worker.ended;
    this.#workers.delete(machine);
    await until("the trainer of a dead worker ends", () =>
      trainers.every((pid) => livingProcess(pid) === null),
    );
    if (left && id !== null) await this.#untilTrue(id);
    else await sleep(downMs);
    this.#startWorker(machine);
  }

  async #freezeWorker({ left, delayMs }: Kill, id: string | null): Promise<void> {
    const [machine, worker] = await this.#holder(id);
    const other = machine === "here" ? "there" : "here";
    if (left && !this.#workers.has(other)) {
      const second = this.#startWorker(other);
      await until("the other machine's worker is ready", () => second.output().includes("Ready"));
    }
    const before = id === null ? null : await this.standing(id);
    worker.signal("SIGSTOP");
    this.#frozen.add(worker.pid);
    try {
      if (id !== null && before !== null && !endedStatuses.includes(before.status)) {
        await this.#untilTrue(id);
        if (left)
          await this.untilStanding(
            id,
            "the other machine has taken over",
            // A run that was to pause is paused, and nobody's.
            ({ pid, status }) => pid !== worker.pid || status === "paused",
          );
        await sleep(3 * delayMs);
      }
    } finally {
      worker.signal("SIGCONT");
      this.#frozen.delete(worker.pid);
    }
    if (left && before !== null && heldStatuses.includes(before.status)) {
      await until(
        "the thawed worker notices",
        () => worker.output().includes(`Run ${id} is not this worker's any more`),
        truthMs,
      );
    }
  }

  #startApi(): Program {
    return startProgram(apiProgram, { ...this.#settings(), PORT: String(this.#port) });
  }

  #startWorker(machine: "here" | "there"): Program {
    const worker = startProgram("server/worker/main.ts", {
      ...this.#settings(),
      ...(machine === "there" ? { NODE_OPTIONS: `--import ${otherMachine}` } : {}),
    });
    this.#workers.set(machine, worker);
    // As the supervisor of `npm start` does, of one that met its database while that was starting.
    void worker.ended.then((ending) => {
      const current = this.#workers.get(machine) === worker;
      if (current && !this.#closing && ending !== "SIGKILL") this.#startWorker(machine);
    });
    return worker;
  }

  #settings(): Record<string, string> {
    return { DATABASE_URL: this.#database.url, FACET_HOME: this.home };
  }

  async #served(): Promise<void> {
    await until("the API serves", () => this.#api.output().includes("Serves"));
  }
}

function killTrainers(worker: Program): void {
  for (const pid of descendants(worker.pid, trainerProgram)) process.kill(pid, "SIGKILL");
}

/** The request, or its answer, did not get through. */
function isOutage(error: unknown): boolean {
  return (
    error instanceof TRPCClientError &&
    (error.data === undefined || error.data === null || (error.data.httpStatus as number) >= 500)
  );
}

/** Reads again while the database or the API is away. */
async function patient<T>(read: () => PromiseLike<T>): Promise<T> {
  for (const deadline = Date.now() + patienceMs; ; ) {
    try {
      return await read();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
