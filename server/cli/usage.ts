export const usage = `Usage: npm run facet -- <command> [options]

Activation sets
  activations import <file>      Import a safetensors file: activations [n_tokens, d_in], F32, F16 or BF16
      --name <text>              Name of the set (default: the file's name)
      --hook-name <name>         Where they were taken, e.g. blocks.6.hook_resid_post
      --model-name <text>        Model they come from
      --dataset-name <text>      Dataset they come from
      --tensor <name>            Tensor in the file (default: activations, or the only one)
      --upload                   Send the file even if the server may read it itself
  activations list [--text <words>]
  activations delete <id>

Runs
  runs list [--status <status>]... [--text <words>] [--model <name>] [--dataset <name>] [--limit <n>]
  runs show <id>
  runs create <name>             Make a run and queue it
      --set <id>                 Train on this activation set; without it on synthetic activations
      --synthetic <key>=<value>  Option of the synthetic generator; may be repeated
      --<option> <value>         Option of the training configuration, as in SAELens: --d_sae 1024 --k 16
      --description <text>
      --watch                    Follow the run until it ends
  runs watch <id>                Follow a run until it ends
  runs pause|resume|stop|cancel|retry|delete <id>

Server
  status                         Version, database and workers

Everywhere
  --url <url>                    Server (default: http://127.0.0.1:PORT)
  --token <token>                Default: FACET_TOKEN, else the one kept in FACET_HOME
  --json                         Print what the server answers as JSON
  --help

Exit codes: 0 done, 1 failed, 2 the command line was wrong.`;

/** The command line itself is wrong; shown with a pointer to the help. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
