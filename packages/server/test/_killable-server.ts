/** A server of its own process, to be killed: `node _killable-server.ts DATA_DIR SANDBOX_FOLDER`. Prints its address. */
import { startServer } from "@holdfast/server";
import { pino } from "pino";
import { LocalProvider, localOptions } from "./_local-provider.ts";

const [dataDir = "", folder = ""] = process.argv.slice(2);
const logger = pino({ level: process.env.TEST_LOG ?? "silent" }, pino.destination(2));
const server = await startServer(
  { ...localOptions, port: 0, dataDir },
  { logger, provider: new LocalProvider(folder) },
);
process.stdout.write(`${server.url}\n`);
