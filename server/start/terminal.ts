/** Standard output with one line at the bottom that changes in place; without a terminal, plain lines now and then. */
export interface Terminal {
  line(text: string): void;
  /** Replaces the bottom line; without a terminal prints it, at most every few seconds. */
  progress(text: string): void;
  /** Leaves the bottom line as it stands. */
  endProgress(): void;
}

const plainIntervalMs = 5_000;

export function openTerminal(output: NodeJS.WriteStream = process.stdout): Terminal {
  let current = "";
  let printedAt = 0;
  // A terminal that was closed takes no more lines, and Facet must still end in order.
  for (const stream of [output, process.stderr]) stream.on("error", () => undefined);
  const clear = () => {
    if (current !== "") output.write("\r\x1b[2K");
  };
  return {
    line(text) {
      clear();
      output.write(`${text}\n`);
      output.write(current);
    },
    progress(text) {
      if (output.isTTY) {
        clear();
        current = text.slice(0, (output.columns || 80) - 1);
        output.write(current);
      } else if (Date.now() - printedAt >= plainIntervalMs) {
        printedAt = Date.now();
        output.write(`${text}\n`);
      }
    },
    endProgress() {
      if (current !== "") output.write("\n");
      current = "";
    },
  };
}
