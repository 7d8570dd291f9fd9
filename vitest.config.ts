import { defineConfig } from "vitest/config";

/** script/run-tests.ts runs those at once that share nothing of the machine. */
const filesAtOnce = {
  fileParallelism: process.env.HOLDFAST_TEST_FILES_AT_ONCE !== undefined,
  maxWorkers: Number(process.env.HOLDFAST_TEST_FILES_AT_ONCE ?? 1),
};

/** Unit tests sit beside the source; integration tests use real sockets and processes; e2e uses the whole system. */
export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 120_000,
    setupFiles: ["./script/test-file.ts"],
    // The machine may be busy: what is waited for comes, or the test fails later.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["packages/*/src/**/*.test.ts", "script/**/*.test.ts"] },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["packages/*/test/**/*.test.ts"],
          testTimeout: 60_000,
          ...filesAtOnce,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["e2e/**/*.e2e.ts"],
          ...filesAtOnce,
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
