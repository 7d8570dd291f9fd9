import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  createMapperState,
  decodeLine,
  LineSplitter,
  type MapperContext,
  type MapResult,
  mapLine,
} from "../src/index.ts";
import type { JsonObject } from "../src/json.ts";

const root = join(import.meta.dirname, "../fixtures");

export const context: MapperContext = { sessionId: "sesn_TEST", workspaceMount: "/mnt/workspace", scripted: false };

export interface Fixture {
  /** `2.1.330/text`. */
  name: string;
  path: string;
}

/** Everything that the real CLI printed, both versions. */
export const fixtures: Fixture[] = [
  ["2.1.330", root],
  ["2.1.197", join(root, "v2.1.197")],
].flatMap(([version = "", folder = ""]) =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".ndjson") && !file.endsWith(".stdin.ndjson"))
    .map((file) => ({ name: `${version}/${basename(file, ".ndjson")}`, path: join(folder, file) })),
);

export function rawLines(path: string): Uint8Array[] {
  const splitter = new LineSplitter();
  const lines = splitter.push(readFileSync(path)).map((line) => line.bytes);
  const last = splitter.end();
  return last === undefined ? lines : [...lines, last.bytes];
}

export interface Step {
  line: ReturnType<typeof decodeLine>;
  /** The line's object; empty for text. */
  value: JsonObject;
  result: MapResult;
}

/** The whole file through the mapping. */
export function run(lines: readonly (Uint8Array | string)[], from = createMapperState()): Step[] {
  let state = from;
  return lines.map((raw) => {
    const line = decodeLine(raw);
    const result = mapLine(state, line, context);
    state = result.state;
    return { line, value: line.kind === "json" ? line.value : {}, result };
  });
}

export function fixture(name: string): Step[] {
  const found = fixtures.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`no fixture ${name}`);
  return run(rawLines(found.path));
}

/** Blocks of `message.content` of an `assistant` or `user` line. */
export function blocksOf(value: JsonObject): JsonObject[] {
  const content = (value.message as JsonObject | undefined)?.content;
  return Array.isArray(content) ? content : [];
}
