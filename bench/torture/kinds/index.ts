import type { Kind } from "../kind.ts";
import { browserKind } from "./browser.ts";
import { claude } from "./claude.ts";
import { connection } from "./connection.ts";
import { database } from "./database.ts";
import { disk } from "./disk.ts";
import { engine } from "./engine.ts";
import { guest } from "./guest.ts";
import { network } from "./network.ts";
import { sandbox } from "./sandbox.ts";
import { server } from "./server.ts";
import { spool } from "./spool.ts";

/** In the order of the report. */
export const kinds: readonly Kind[] = [
  server,
  engine,
  connection,
  guest,
  sandbox,
  claude,
  browserKind,
  database,
  network,
  disk,
  spool,
];
