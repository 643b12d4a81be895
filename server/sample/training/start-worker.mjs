// A thread does not inherit what reads TypeScript.
const { register } = await import("tsx/esm/api");
register();
await import("./gradient-worker.ts");
