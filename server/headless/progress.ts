import { duration } from "../cli/format.ts";

export interface ProgressOptions {
  /** What is counted: "step", "rows". */
  unit: string;
  total: number;
  /** Where it stands at the start. */
  done?: number;
  /** A whole line, where no terminal watches. */
  line(text: string): void;
  /** Rewrites one line in place; without it whole lines are printed now and then. */
  rewrite?: ((text: string) => void) | undefined;
  now?: () => number;
}

const rewriteEveryMs = 100;
/** A plain line comes with every tenth of the way, but not sooner than this after the one before … */
const lineAfterMs = 1_000;
/** … and where a tenth takes longer, after this. */
const lineAtLatestMs = 60_000;
/** The rate is that of the last so many milliseconds; time left is by the mean, for work may come in bursts. */
const rateWindowMs = 10_000;

/** Where work stood at a time. */
interface Mark {
  at: number;
  done: number;
}

/** Progress of one long piece of work, with percentage, rate and time left. */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #now: () => number;
  /** Places on the way, oldest first, as far back as the rate looks. */
  #marks: Mark[];
  readonly #began: Mark;
  #shownAt: number;
  #shownTenth: number;
  #ended = false;
  /** Whether a line stands that is being rewritten. */
  #shown = false;
  #everShown = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const done = options.done ?? 0;
    this.#began = { at: this.#now(), done };
    this.#marks = [this.#began];
    this.#shownAt = this.#now();
    this.#shownTenth = tenth(done, options.total);
  }

  /** @param detail What else there is to tell. */
  update(done: number, detail = ""): void {
    if (this.#ended) return;
    const { total, rewrite, line } = this.#options;
    const now = this.#now();
    this.#marks.push({ at: now, done });
    while (this.#marks.length > 2 && this.#marks[1]!.at <= now - rateWindowMs) this.#marks.shift();
    const waited = now - this.#shownAt;
    const last = done >= total;
    const due =
      rewrite !== undefined
        ? waited >= rewriteEveryMs
        : (tenth(done, total) > this.#shownTenth && waited >= lineAfterMs) || waited >= lineAtLatestMs;
    // What was quick enough to show nothing needs no last word either.
    if (!due && !(last && this.#everShown)) return;
    this.#shownAt = now;
    this.#shownTenth = tenth(done, total);
    (rewrite ?? line)(this.#text(done, detail));
    this.#shown = true;
    this.#everShown = true;
    if (last) this.end();
  }

  /** Leaves the line that was rewritten as it is, so that another line may come. */
  interrupt(): void {
    if (this.#shown) this.#options.rewrite?.("\n");
    this.#shown = false;
  }

  /** Nothing more will come. */
  end(): void {
    this.interrupt();
    this.#ended = true;
  }

  #text(done: number, detail: string): string {
    const { unit, total } = this.#options;
    const first = this.#marks[0]!;
    const lately = this.#marks.at(-1)!;
    const rate = rateBetween(first, lately);
    const mean = rateBetween(this.#began, lately);
    const known = Number.isFinite(rate) && rate > 0;
    return [
      `${unit} ${done}/${total}`,
      `${Math.floor((100 * done) / total)} %`,
      known ? `${rate >= 100 ? Math.round(rate) : rate.toPrecision(3)}/s` : "",
      known && done < total ? `${duration((total - done) / mean)} left` : "",
      detail,
    ]
      .filter((part) => part !== "")
      .join("  ");
  }
}

/** A second. */
function rateBetween(from: Mark, to: Mark): number {
  return (1_000 * (to.done - from.done)) / (to.at - from.at);
}

function tenth(done: number, total: number): number {
  return Math.floor((10 * done) / total);
}
