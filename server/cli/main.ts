import { runCommand } from "./commands.ts";

/** Progress goes where errors go, so that the standard output can be kept. */
function rewrite(line: string): void {
  // A line that wraps could not be written over.
  const fitting = line.slice(0, Math.max(20, process.stderr.columns) - 1);
  process.stderr.write(line === "\n" ? line : `\r${fitting}\u001b[K`);
}

// A reader that has seen enough, such as head, must not end a training run.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

process.exitCode = await runCommand(process.argv.slice(2), {
  out: (line) => console.log(line),
  err: (line) => console.error(line),
  terminal: process.stdout.isTTY === true,
  ...(process.stderr.isTTY ? { rewrite } : {}),
});
