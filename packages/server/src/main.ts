import fs from "node:fs";
import { flushCompileCache } from "node:module";
import { createInterface } from "node:readline";
import { addCounts, dropPrivileges, type FaultCounts, guardProcess, readCounts } from "@holdfast/std";
import { pino } from "pino";
import { parseOptions, readOptionsFile } from "./config/options.ts";
import { readWebFiles } from "./config/web-files.ts";
import { bundledGuest } from "./domain/sandboxes/bundled-guest.ts";
import { DatabaseOpenError } from "./ports/database.ts";
import { type Server, startServer } from "./server.ts";

/** One JSON line on stdout tells the parent how it went; the logs go to stderr. */
function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// First of all: the parent counts what nobody handled, and starts us again after an exception. Turns, sandboxes and
// spools live on; the next server takes them up where the last commit left them.
const guard = guardProcess(process, { name: "server", onCount: (counts) => report({ unhandledRejections: counts }) });
/** What the parent says that other processes, and servers before this one, have counted. */
let elsewhere: FaultCounts = {};

async function start(): Promise<Server> {
  const options = parseOptions(readOptionsFile());
  // As who we were started: the checkout may be nobody else's to read.
  const [web, guestBundle] = await Promise.all([readWebFiles(options.webDir), bundledGuest()]);
  // As root still: what was compiled is kept for the next start where no service may write.
  flushCompileCache();
  dropPrivileges({ process, fs }, { dataDir: options.dataDir, uid: options.uid, gid: options.gid });
  const redact = ["req.headers", "headers", "apiKey", "token", "secrets"];
  const logger = pino({ name: "server", level: options.logLevel, redact }, pino.destination({ dest: 2, sync: true }));
  return await startServer(options, {
    logger,
    web,
    guestBundle,
    faults: () => addCounts(guard.counts, elsewhere),
  });
}

function explain(error: unknown): { what: string; why: string; todo: string } {
  const why = error instanceof Error ? error.message : String(error);
  if (error instanceof DatabaseOpenError) return { what: "The server did not start.", why, todo: error.todo };
  const taken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
  const todo = taken
    ? "Stop what listens on that port, or choose another one with --port."
    : "Check the server's options and that its data directory can be written.";
  return { what: "The server did not start.", why, todo };
}

// Whoever started us holds our stdin open; its death, however it comes, is a SIGTERM to us.
if (process.argv.includes("--exit-with-parent")) {
  const told = createInterface({ input: process.stdin });
  told.on("line", (line) => {
    elsewhere = readCounts(line) ?? elsewhere;
  });
  told.once("close", () => process.kill(process.pid, "SIGTERM"));
  process.stdin.unref();
}
try {
  const asked = Promise.withResolvers<NodeJS.Signals>();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => asked.resolve(name));
  await using server = await start();
  const { url, port, storage } = server;
  report({ ready: true, url, port, storage: storage.on ? "on" : storage.reason });
  // Ctrl-C ends all that runs; SIGTERM leaves it to the next start.
  const signal = await asked.promise;
  if (signal === "SIGINT") await server.endTurns();
  // Disposing waits for calls in flight; an engine that is just being started again may hold them for long.
  setTimeout(() => process.exit(), 8_000).unref();
} catch (error) {
  report({ ready: false, error: explain(error) });
  process.exitCode = 1;
}
// Everything is disposed of; what a library still holds open must not keep the process.
process.exit();
