#!/usr/bin/env node
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
process.exitCode = await run(process.argv.slice(2), stop.signal);
