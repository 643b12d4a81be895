import { fork } from "node:child_process";
import path from "node:path";
import type { FromTrainer, ToTrainer, TrainerControl, TrainerTask } from "./messages.ts";

/** The worker's end of a forked trainer process. */
export interface Trainer {
  control(control: TrainerControl["control"]): void;
  kill(): void;
  /** Resolves once it has ended and everything it said has been handled; never rejects. */
  readonly ended: Promise<TrainerEnding>;
}

export interface TrainerEnding {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The end of what it wrote to standard error. */
  lastWords: string;
}

const program = path.resolve(import.meta.dirname, "trainer-process.ts");
const lastWordsLength = 2_000;

/**
 * Forks a process that owns the GPU for one task. A driver that crashes, a loop that blocks or memory that runs out
 * takes the task with it, and never the worker's heartbeat. It ends by itself when the worker is gone.
 */
export function forkTrainer(task: TrainerTask, onMessage: (message: FromTrainer) => void): Trainer {
  const child = fork(program, [], {
    execArgv: ["--import", "tsx"],
    serialization: "advanced",
    stdio: ["ignore", "inherit", "pipe", "ipc"],
  });
  let lastWords = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    process.stderr.write(chunk);
    lastWords = (lastWords + chunk.toString("utf8")).slice(-lastWordsLength);
  });
  child.on("message", (message) => onMessage(message as FromTrainer));
  const say = (message: ToTrainer) => {
    // It may have ended in the meantime; `ended` tells.
    if (child.connected) child.send(message, () => undefined);
  };
  const ended = new Promise<TrainerEnding>((resolve) => {
    child.once("error", (error) => resolve({ code: null, signal: null, lastWords: error.message }));
    child.once("close", (code, signal) => resolve({ code, signal, lastWords: lastWords.trim() }));
  });
  say(task);
  return {
    ended,
    control: (control) => say({ type: "control", control }),
    kill: () => child.kill("SIGKILL"),
  };
}

/** Opens the GPU in a process of its own and says what it is. */
export async function probeGpu(
  adapter: string | null,
): Promise<Extract<FromTrainer, { type: "probed" | "failed" }>> {
  let answer: Extract<FromTrainer, { type: "probed" | "failed" }> | null = null;
  const trainer = forkTrainer({ type: "probe", adapter }, (message) => {
    if (message.type === "probed" || message.type === "failed") answer = message;
  });
  const ending = await trainer.ended;
  return answer ?? { type: "failed", kind: "final", reason: describeCrash(ending) };
}

/** Why a trainer ended that did not say so itself. */
export function describeCrash({ code, signal, lastWords }: TrainerEnding): string {
  const how = signal === null ? `with exit status ${code ?? "unknown"}` : `by ${signal}`;
  const last = lastWords.split("\n").at(-1)?.trim();
  const memory = signal === "SIGKILL" ? " The system may have run out of memory." : "";
  return `The training process was ended ${how}.${memory}${last ? ` Its last words: ${last}` : ""}`;
}
