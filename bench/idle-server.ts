/**
 * What a server costs that has nothing to do, with so many sessions behind it: `node bench/idle-server.ts [SESSIONS]
 * [MAIN]`. MAIN is the `main.ts` of the server that is measured, this checkout's unless given.
 */
import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { startWatched } from "@holdfast/testkit/hostile";
import { fillDatabase } from "@holdfast/testkit/many-rows";

const [sessions = "40000", main = "packages/server/src/main.ts"] = process.argv.slice(2);
const seconds = 10;
const at = pathToFileURL(resolve(main));
const options = { port: 0, logLevel: "silent" };

const count = Number(sessions);
await using watched = await startWatched(at, options, (dataDir) =>
  fillDatabase(`${dataDir}/server.sqlite`, { sessions: count, workspaces: count }),
);
await wait(3_000);
const longest: number[] = [];
for (let second = 0; second < seconds; second++) longest.push((await watched.longestDelayMs(() => wait(1_000))) - 10);
longest.sort((a, b) => a - b);
const shown = (ms: number | undefined) => `${(ms ?? 0).toFixed(1)} ms`;
process.stdout.write(
  `${count} sessions, nothing open: the event loop is kept for ${shown(longest[Math.floor(seconds / 2)])} in the median second, ${shown(longest.at(-1))} in the worst of ${seconds}\n`,
);
