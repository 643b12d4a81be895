import { RandomStream } from "../../../gpu/sae/random.ts";
import type { TrainingRecipe } from "../recipe.ts";
import type { Encoder } from "../tokenizer/encode.ts";
import { TokenStream } from "../tokenizer/stream.ts";
import { Adam } from "./adam.ts";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { GradientWorkers } from "./gradient-workers.ts";
import { rateAt, stepsOf } from "./schedule.ts";
import { parametersOf, type Shape } from "./shape.ts";

/** Steps between lines of progress. */
const reportEvery = 20;

/** The first values of all parameters. */
function initialize(shape: Shape, seed: number, values: Float32Array): void {
  const random = new RandomStream(seed);
  for (const { at, count, deviation, start } of parametersOf(shape).values()) {
    for (let i = at; i < at + count; i++) {
      if (start === "normal") values[i] = deviation * random.normal();
      else values[i] = start === "ones" ? 1 : 0;
    }
  }
}

/** Trains a model, from `checkpoint` on where there is one: the result is the same. Gives the parameters. */
export async function train(
  recipe: TrainingRecipe,
  encoder: Encoder,
  checkpoint: string,
  report: (line: string) => void,
): Promise<Float32Array<ArrayBuffer>> {
  const { shape, threads, windows_per_thread, schedule } = recipe;
  const workers = new GradientWorkers(shape, threads, windows_per_thread);
  try {
    const { parameters } = workers;
    const adam = new Adam(shape, recipe.adam);
    initialize(shape, recipe.parameter_seed, parameters);
    const before = await loadCheckpoint(checkpoint, parameters, adam);
    const stream = new TokenStream(encoder, recipe.training_seed, before?.place);
    let losses = 0;
    let norms = 0;
    for (let step = (before?.step ?? 0) + 1; step <= stepsOf(schedule); step++) {
      const tokens = stream.windows(threads * windows_per_thread, shape.n_ctx);
      const { loss, gradients } = await workers.lossAndGradients(tokens);
      norms += adam.step(parameters, gradients, step, rateAt(step, schedule));
      losses += loss;
      if (step % reportEvery === 0) {
        report(
          `step ${step}: loss ${(losses / reportEvery).toFixed(4)}, gradient ${(norms / reportEvery).toFixed(2)}`,
        );
        losses = 0;
        norms = 0;
      }
      if (step % recipe.checkpoint_every === 0) {
        await saveCheckpoint(checkpoint, { step, place: stream.place }, parameters, adam);
      }
    }
    return new Float32Array(parameters);
  } finally {
    await workers.close();
  }
}
