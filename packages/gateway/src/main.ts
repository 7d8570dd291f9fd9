import fs from "node:fs";
import { flushCompileCache } from "node:module";
import { dropPrivileges, guardProcess } from "@holdfast/std";
import { pino } from "pino";
import { readOptionsFile } from "./config/options.ts";
import { type Gateway, startGateway } from "./server.ts";

/** One JSON line on stdout tells the parent how it went; the logs go to stderr. */
function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// First of all: the parent counts what nobody handled, and starts us again after an exception.
guardProcess(process, { name: "gateway", onCount: (counts) => report({ unhandledRejections: counts }) });

async function start(): Promise<Gateway> {
  const options = await readOptionsFile();
  // As root still: what was compiled is kept for the next start where no service may write.
  flushCompileCache();
  dropPrivileges({ process, fs }, { dataDir: options.dataDir, uid: options.uid, gid: options.gid });
  const redact = ["req.headers", "headers", "apiKey", "token", "body"];
  const log = pino({ name: "gateway", level: options.logLevel, redact }, pino.destination({ dest: 2, sync: true }));
  return await startGateway(options, { log });
}

function explain(error: unknown): { what: string; why: string; todo: string } {
  const why = error instanceof Error ? error.message : String(error);
  const taken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
  const todo = taken
    ? "Stop what listens on that port, or choose another one."
    : "Check the gateway's options and that its data directory can be written.";
  return { what: "The gateway did not start.", why, todo };
}

// Whoever started us holds our stdin open; its death, however it comes, is a SIGTERM to us.
if (process.argv.includes("--exit-with-parent")) {
  process.stdin.resume().once("end", () => process.kill(process.pid, "SIGTERM"));
  process.stdin.unref();
}
try {
  const stopped = Promise.withResolvers<void>();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stopped.resolve());
  await using gateway = await start();
  const { url, port, adminUrl, adminPort, mode } = gateway;
  report({ ready: true, url, port, adminUrl, adminPort, mode });
  await stopped.promise;
} catch (error) {
  report({ ready: false, error: explain(error) });
  process.exitCode = 1;
}
