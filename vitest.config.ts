import { defineConfig } from "vitest/config";

// gpu tests share one software adapter that already uses every core, so their files run one at a time.
export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["tests/unit/**/*.test.ts"] } },
      {
        test: {
          name: "gpu",
          include: ["tests/gpu/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "integration",
          include: ["tests/integration/**/*.test.ts"],
          globalSetup: ["tests/integration/postgres.setup.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "faults",
          include: ["tests/faults/**/*.test.ts"],
          globalSetup: ["tests/integration/postgres.setup.ts"],
          pool: "forks",
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: "slow",
          include: ["tests/slow/**/*.test.ts"],
          globalSetup: ["tests/integration/postgres.setup.ts"],
          pool: "forks",
          fileParallelism: false,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
