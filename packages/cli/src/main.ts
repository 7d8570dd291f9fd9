#!/usr/bin/env node
import { faultExitCode, guardProcess } from "@holdfast/std";
import { run } from "./run.ts";

const stop = new AbortController();
let interrupts = 0;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => {
    stop.abort(signal);
    // The first one ends things in order; whoever insists does not want to wait for that.
    if (signal === "SIGINT" && ++interrupts >= 3) process.exit(130);
  });
// `holdfast logs ID | head` closes the pipe: the reader has what it wanted.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
// What runs below `holdfast up` notices our end by itself: services end in order, sandboxes go on.
const guard = guardProcess(process, {
  name: "holdfast",
  log: ({ error }) =>
    process.stderr.write(
      `Something broke inside Holdfast: ${error.message}. Report this with the command you ran; \`holdfast doctor --bundle FILE\` collects what is needed.\n`,
    ),
});
const exitCode = await run(process.argv.slice(2), stop.signal);
process.exitCode = exitCode === 0 && guard.counts.holdfast !== 0 ? faultExitCode : exitCode;
