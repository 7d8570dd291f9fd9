import { flushCompileCache } from "node:module";
import { guardProcess } from "@holdfast/std";
import { readOptionsFile } from "./config/environment.ts";
import { parseOptions } from "./config/options.ts";
import { startEngine } from "./engine.ts";
import { createLogger } from "./logger.ts";

/** One line on stdout, for whoever started this process. */
function report(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// First of all: the parent counts what nobody handled, and starts us again after an exception. Sandboxes live on: the
// keeper's they are.
guardProcess(process, { name: "engine", onCount: (counts) => report({ unhandledRejections: counts }) });

function failure(error: unknown): { what: string; why: string; todo: string } {
  if (error instanceof Error && "what" in error && "why" in error && "todo" in error) {
    return { what: String(error.what), why: String(error.why), todo: String(error.todo) };
  }
  return {
    what: "The engine did not start.",
    why: error instanceof Error ? error.message : String(error),
    todo: "Correct what it names, then start again.",
  };
}

/** The next signal that asks this process to stop. */
function nextStop(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve(signal));
  });
}

const stop = nextStop();
// Whoever started us holds our stdin open; its death, however it comes, is a SIGTERM to us.
if (process.argv.includes("--exit-with-parent")) {
  process.stdin.resume().once("end", () => process.kill(process.pid, "SIGTERM"));
  process.stdin.unref();
}
try {
  const options = parseOptions(readOptionsFile());
  const log = createLogger(options.logLevel);
  const engine = await startEngine(options, { log });
  // Kept for the next start, whatever this one dies of.
  flushCompileCache();
  report({ ready: true, port: engine.port, url: engine.url });
  const signal = await stop;
  log.info({ signal }, "stopping");
  // An interrupt ends everything; a termination leaves the sandboxes to the engine that starts next.
  if (signal === "SIGINT") await engine.shutdown();
  else await engine[Symbol.asyncDispose]();
  process.exit(0);
} catch (error) {
  report({ ready: false, error: failure(error) });
  process.exit(1);
}
