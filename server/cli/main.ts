import { runCommand } from "./commands.ts";

process.exitCode = await runCommand(process.argv.slice(2), {
  out: (line) => console.log(line),
  err: (line) => console.error(line),
  terminal: process.stdout.isTTY === true,
});
