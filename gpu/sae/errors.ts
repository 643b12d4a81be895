/** A number of the training step was not finite: nothing the trainer holds is of use any more. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";
  /** First step, from 1, at which it happened. */
  readonly step: number;

  constructor(step: number) {
    super(
      `Training diverged at step ${step}: a pre-activation or the gradient's norm is not a finite number. ` +
        "Lower lr, or check the activations for NaN and infinity. The last checkpoint is from before this step.",
    );
    this.step = step;
  }
}

/** The device was lost, or refused a command, while training. */
export class DeviceFailedError extends Error {
  override readonly name = "DeviceFailedError";

  constructor(reason: string) {
    super(`The GPU failed: ${reason}. Open it again and go on from the last checkpoint.`);
  }
}

/** A state to resume from does not fit the configuration. */
export class StateMismatchError extends Error {
  override readonly name = "StateMismatchError";
  /** What does not fit, as part of a sentence. */
  readonly what: string;

  constructor(what: string) {
    super(
      `This checkpoint does not fit the configuration: ${what}. Resume it with the configuration it was made by.`,
    );
    this.what = what;
  }
}
