import { type Fault, InvalidInputError } from "../errors.ts";

/** Options of a command line as they were given, and what is wrong with them. */
export class GivenOptions {
  readonly faults: Fault[] = [];
  readonly #options: ReadonlyMap<string, readonly string[]>;

  constructor(options: ReadonlyMap<string, readonly string[]>) {
    this.#options = options;
  }

  /** The last value that was given; null without any. */
  text(name: string): string | null {
    return this.#options.get(name)?.at(-1) ?? null;
  }

  /** "" and a fault where it is missing. */
  needed(name: string, message: string): string {
    const given = this.text(name) ?? "";
    if (given.trim() === "") this.fault(name, message);
    return given;
  }

  number(name: string): number | null {
    const given = this.text(name);
    if (given === null) return null;
    const value = Number(given);
    if (given.trim() !== "" && Number.isFinite(value)) return value;
    this.fault(name, `It is a number, not ${JSON.stringify(given)}.`);
    return null;
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | null {
    const given = this.text(name);
    const found = choices.find((choice) => choice === given) ?? null;
    if (given !== null && found === null) {
      this.fault(name, `It is one of ${choices.join(", ")}, not ${JSON.stringify(given)}.`);
    }
    return found;
  }

  fault(name: string, message: string): void {
    this.faults.push({ path: `--${name}`, message });
  }
}

/** A fault of what the options were made into, by the option's own name: text_column is --text-column. */
function asOptionFault({ path, message }: Fault): Fault {
  return { path: path === "" || path.startsWith("--") ? path : `--${path.replaceAll("_", "-")}`, message };
}

/** What a command does with checked options, its faults by the options' names. */
export async function withOptionFaults<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof InvalidInputError ? new InvalidInputError(error.faults.map(asOptionFault)) : error;
  }
}
