/** Milliseconds that long work on the CPU may hold the event loop. */
const longest = 50;

/** Lets the event loop in between the parts of long work, so that heartbeats and messages get through. */
export class Turns {
  #since = performance.now();

  /** Await between two parts; waits only when the last time was long ago. */
  async pause(): Promise<void> {
    if (performance.now() - this.#since < longest) return;
    await new Promise((resolve) => setTimeout(resolve));
    this.#since = performance.now();
  }
}
