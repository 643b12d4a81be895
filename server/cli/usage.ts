export const usage = `Usage: npm run facet -- <command> [options]

On this machine, without a server
  train                          Train an SAE, or several in one pass, from activations on disk or live from a model
      --activations <path>       A safetensors file [n_tokens, d_in], F32, F16 or BF16, or a folder of them, which follow
                                 one another by name; once per hook point for a crosscoder
      --targets <path>           What a transcoder predicts; row i belongs to row i of --activations
      --model <folder> --tokens <folder> --hooks <name>,<name>
                                 In place of --activations: what a language model computes on a token set while training;
                                 an SAE for each hook point, of a crosscoder one for all
      --target-hook <name>       What a transcoder predicts
      --eval-every <n>           Measure within the model every n steps (default: after the last alone)
      --eval-sequences <n>       Held-out sequences to measure on (default: 64)
      --out <folder>             Where to keep the run; must not hold one
      --config <file>            Options of the configuration as a JSON object
      --<option> <value>         An option of the configuration, over that of the file: --d_sae 4096 --k 32 --seed 1.
                                 All of them: npm run facet -- train --help
      --sweep <option>=<a>,<b>   Train an SAE for each value, all in one pass; repeated, for each combination
      --init <file>              Parameters to start from: safetensors, by SAELens' names and in its orientation
      --no-shuffle               Take the rows in order, from the first on and around
      --resume <folder>          Go on with a run, from its newest checkpoint or the one that is named
      --tensor <name>            Tensor in the files (default: activations, or the only two-dimensional one,
                                 or the only one [n_sequences, length, d_in])
      --target-tensor <name>     Tensor in the targets' files (default: as --tensor)
      --adapter <name>           GPU: a part of its name, or software
      --model-name, --hook-name, --hook-name-out, --dataset-name <text>
                                 For the SAE's metadata (default: what the files' __metadata__ says)
  eval --sae <path> --activations <path> [--targets <path>] [--tokens <n>]
                                 Measure an SAE on the first n rows (default: all) of raw activations
  eval --sae <path> --model <folder> --tokens <folder> [--hook <name>] [--target-hook <name>] [--sequences <n>]
                                 Measure what a language model loses with the SAE in it, on held-out sequences
  inspect <path>                 Say what a file or folder holds: an SAE of any format, a run, a checkpoint, tensors,
                                 activations, tokens, a dataset, a model; and what can be done with it next
  export --sae <path> --format saelens|facet|sparsify --out <folder>
  import <path> --out <folder>   Make a folder in SAELens' layout of an SAE in any format
  synth --preset sample|toy|mini|synthsaebench-16k [--<option of the generator> <value>]
                                 Activations whose true features are known
      --tokens <n> --out <file>  Write them, and the truth and the options beside them
      --train                    Train an SAE on fresh ones instead, and score it; --architecture, --seed and the other
                                 options of training, over the preset's; --generator_seed is the generator's
      --score <path>             Score an SAE of any format against the truth, on --tokens of them
  capture --model <folder> --tokens <folder> --hooks <name>,<name> --out <folder>
                                 Activations of a language model on tokens of tokenize: a set for each hook point, which a
                                 killed capture goes on with
      --dtype float16|float32    How they are stored (default: float16)
      --exclude-tokens <ids>     Ids with commas between them, whose rows are left out of training
      --outlier-norm <n>         Leave rows beyond n medians of the norms out of training as well, e.g. 10
      --shard-tokens <n>         Most tokens of a file of rows (default: 256 MB of the widest)
      --estimate                 Say what it takes, by a short run, and write nothing
  capture --model <folder> --tokens <file> --hooks <name>,<name> --out <file>
                                 The same of a file of ids into one file, for scripts
      --tokens <file>            A safetensors file: input_ids [n_sequences, length], I32, U32 or I64
      --hooks <names>            Hook points by TransformerLens' names, e.g. blocks.6.hook_resid_post
      --out <file>               A safetensors file: F32 [n_sequences, length, width] under each hook point's name
      --precision <p>            Of the model's weights: f32, f16 or int8 (default: f32)
      --batch-size <n>           Sequences that go through the model together (default: about 4096 tokens' worth, or what fits)
      --adapter <name>           GPU: a part of its name, or software
  model inspect <folder>         Say what model a folder holds, whether it can be run, and its hook points
  dataset import <path|owner/name> --out <folder>
                                 Keep the documents of a file or folder (.txt, .jsonl, .csv, .tsv, also .gz and .zst;
                                 .parquet), or of a hub's dataset
      --name <text>              Name of the dataset (default: the last part of the path or name)
      --text-column <name>       Column of the documents (default: text, else the only one of texts)
      --split-on file|blank-line|line
                                 How a plain text is cut (default: a folder's texts not at all, one file at blank lines)
      --separator <text>         Cut it at this text instead; \\n is a new line
      --config, --split, --revision <name>
                                 Of a hub's dataset (default: the only one or default; train; main)
      --limit-documents, --limit-characters <n>
  dataset show <folder> [--search <text>] [--from <n>] [--limit <n>]
                                 What is known of a dataset, and documents from the n-th on, or those that hold a text
  tokenize --dataset <folder> --model <folder> --out <folder>
                                 Pack a dataset's documents into sequences of the model's tokens
      --context-size <n>         Tokens of a sequence (default: 128, or what the model takes)
      --bos sequence|document|none
                                 Where BOS stands (default: first in every sequence, where the model has one)
      --separator bos|eos|none   Between documents (default: BOS with --bos sequence, else EOS)
      --remainder drop|pad       What becomes of the last tokens that fill no sequence (default: drop)
      --held-out <share>         Of the sequences, at the end, never trained on (default: 0.05)
      --workers <n>              Threads (default: as many as cores, as far as they pay)
  model preview <folder|owner/name> [--revision <name>]
                                 Say what a model is and takes, and whether it can be imported; no weight is downloaded
  model import <folder|owner/name> [--revision <name>] --out <folder>
                                 Copy a model, or download it from the hub; the same command goes on with a download
      --revision <name>          A branch, a tag or a commit of the hub (default: main)
  model generate --model <folder> --prompt <text> | --tokens <id>,<id>
                                 Go on with a text, or with token ids
      --max-new-tokens <n>       Most new tokens (default: 50, or what the model has room for)
      --temperature <t>          0: always the likeliest token (default: 1)
      --top-k <k>, --top-p <p>   Only the k likeliest tokens; only the likeliest that have p together
      --seed <n>                 Of the choices (default: 0)
      --precision <p>            Of the model's weights: f32, f16 or int8 (default: f32)
      --adapter <name>           GPU: a part of its name, or software

Models of the server
  models import <folder or name> Import a language model: from a folder that the server can read, or by its name from the hub
      --revision <name>          Branch, tag or commit of the hub's repository (default: main)
      --name <text>              Name of the model (default: the folder's, or the repository's)
  models list [--text <words>]
  models show <id>               What it is, and its hook points
  models delete <id>

Datasets of the server
  datasets import <path or name> Import texts: .txt, .jsonl, .csv, .tsv, .parquet, packed or not, or a hub's dataset by name
      --config, --split, --revision <name>
                                 Which part of a hub's dataset, where it has several
      --text-column <name>       Column of the texts (default: text, or the only one)
      --split-on file|blank-line|line, --separator <text>
                                 Where plain text is cut into documents
      --limit-documents <n>, --limit-characters <n>
      --name <text>              Name of the dataset (default: the file's, or the repository's)
      --upload                   Send the file even if the server may read it itself
  datasets list [--text <words>]
  datasets show <id>             Its figures, and the first documents
  datasets delete <id>

Tokenizations of the server
  tokenizations create --dataset <id> --model <id>
                                 Pack a dataset into sequences of a model's tokens
      --context-size <n>         Tokens of a sequence (default: 128, or what the model takes)
      --bos sequence|document|none, --separator bos|eos|none, --remainder drop|pad
      --held-out <share>         Of the sequences, never trained on (default: 0.05)
      --name <text>
  tokenizations list [--text <words>] [--dataset <id>] [--model <id>]
  tokenizations delete <id>

Captures of the server
  captures create --model <id> --tokenization <id> --hooks <name>,<name>
                                 Store a model's activations at hook points as activation sets, one each
      --dtype float16|float32    How they are stored (default: float16)
      --precision <p>            Of the model's weights: f32, f16 or int8 (default: f32)
      --exclude-token <id>       Leave this token's rows out of training as well; may be repeated
      --batch-size <n>           Sequences that go through the model together (default: what fits)
      --name <text>
      --watch                    Follow it until it ends
  captures list [--text <words>]
  captures watch|cancel|delete <id>

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
      --set <id>                 Train on this activation set; without it on synthetic activations. Repeated for a
                                 transcoder (input, target) and a crosscoder (every hook point)
      --model <id> --tokenization <id> --hooks <name>,<name>
                                 Train live on a model's activations instead: one hook point, two for a transcoder, all
                                 of a crosscoder
      --model-precision <p>      Of the model's weights: f32, f16 or int8 (default: f32)
      --eval-every <n>           Steps between evaluations in the model (default: only after the last)
      --eval-sequences <n>       Held-out sequences of each (default: 64)
      --synthetic <key>=<value>  Option of the synthetic generator; may be repeated
      --<option> <value>         Option of the training configuration, as in SAELens: --architecture gated --d_sae 1024
      --description <text>
      --watch                    Follow the run until it ends
  runs watch <id>                Follow a run until it ends
  runs pause|resume|stop|cancel|retry|delete <id>

SAEs of the server
  saes list [--text <words>] [--kind trained|imported]
  saes show <id>
  saes import <path>             Import an SAE of any format from a path that the server can read
      --name <text>              Name of the SAE (default: the last part of the path)
  saes download <id> [--format saelens|facet|sparsify] [--out <file.zip>]
  saes evaluate <id> --set <id>  Measure it on an activation set; repeated for a transcoder and a crosscoder
      --tokens <n>               Most rows to measure on (default: 16384)
      --model <id> --tokenization <id> [--hook-name <name>] [--sequences <n>] [--precision <p>]
                                 Measure it in the model instead, on held-out sequences (default: 64)
  saes delete <id>               Delete an imported one

Server
  status                         Version, database and workers

Everywhere
  --url <url>                    Server (default: http://127.0.0.1:PORT)
  --token <token>                Default: FACET_TOKEN, else the one kept in FACET_HOME
  --json                         Print the result as one line of JSON; progress goes to the standard error
  --help

Exit codes: 0 done; 1 failed, or some SAEs of a sweep diverged; 2 the command line, the configuration or an input file is
wrong, and nothing was written; 3 training diverged; 130 or 143 stopped by SIGINT or SIGTERM, with a checkpoint.`;

/** The command line itself is wrong; shown with a pointer to the help. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
