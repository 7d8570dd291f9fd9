import fs from "node:fs";
import { flushCompileCache } from "node:module";
import { dropPrivileges, guardProcess } from "@holdfast/std";
import pino from "pino";
import { readProcessOptions, type S3ProcessOptions } from "./config/options.ts";
import { type S3Server, startS3Server } from "./server/server.ts";

function say(line: object): void {
  process.stdout.write(JSON.stringify(line) + "\n");
}

// First of all: the parent counts what nobody handled, and starts us again after an exception.
guardProcess(process, { name: "s3", onCount: (counts) => say({ unhandledRejections: counts }) });

async function start(options: S3ProcessOptions): Promise<S3Server> {
  const logger = pino({ level: options.logLevel, name: "s3" }, pino.destination({ fd: 2, sync: true }));
  const server = await startS3Server({
    ...options,
    logger,
    beforeData: () => {
      // As root still: what was compiled is kept for the next start where no service may write.
      flushCompileCache();
      const { dataDir, uid, gid } = options;
      const path = dropPrivileges({ process, fs }, { dataDir, uid, gid, enter: true });
      logger.info({ uid: process.geteuid?.() }, "running as");
      return path;
    },
  });
  logger.info({ url: server.url, dataDir: options.dataDir }, "S3 is up");
  return server;
}

/** What the parent shows a person, from anything that can go wrong at start. */
function describe(error: unknown): { what: string; why: string; todo: string } {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const todo =
    code === "EADDRINUSE"
      ? "choose another port or stop the program that uses it"
      : code === "EACCES"
        ? "check that the data directory may be written by this user"
        : "correct the options or the data directory and start again";
  return {
    what: "The embedded S3 server could not start",
    why: error instanceof Error ? error.message : String(error),
    todo,
  };
}

async function main(): Promise<void> {
  process.umask(0o077);
  const stop = Promise.withResolvers<void>();
  process.once("SIGTERM", () => stop.resolve());
  process.once("SIGINT", () => stop.resolve());
  // Whoever started us holds our stdin open; its death, however it comes, is a SIGTERM to us.
  if (process.argv.includes("--exit-with-parent")) {
    process.stdin.resume().once("end", () => process.kill(process.pid, "SIGTERM"));
    process.stdin.unref();
  }
  let server: S3Server;
  try {
    server = await start(readProcessOptions());
  } catch (error) {
    say({ ready: false, error: describe(error) });
    process.exitCode = 1;
    return;
  }
  await using running = server;
  say({ ready: true, url: running.url, host: running.host, port: running.port });
  await stop.promise;
}

await main();
