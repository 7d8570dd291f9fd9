import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../failure.ts";

export interface MemoryPlace {
  /** `CLAUDE_CONFIG_DIR`. */
  readonly config: string;
  /** Claude's working directory: the CLI names the folder of its conversations after it. */
  readonly cwd: string;
  /** A UUID of the CLI's. */
  readonly conversation: string;
}

const maxConfigBytes = 64 * 1024 * 1024;

/** Where the CLI writes this conversation. */
export function transcriptFolder({ config, cwd }: MemoryPlace): string {
  return join(config, "projects", realpathSync(cwd).replaceAll(/[^a-zA-Z0-9]/g, "-"));
}

/** Where it may lie, as that volume or another one was the workspace: the CLI looks everywhere below `projects`. */
export function transcriptFiles(place: MemoryPlace): string[] {
  const projects = join(place.config, "projects");
  const others = readdirSync(projects).map((name) => join(projects, name));
  const name = `${place.conversation}.jsonl`;
  return [...new Set([transcriptFolder(place), ...others])].map((folder) => join(folder, name)).filter(isThere);
}

/** Folders that Claude Code needs are folders, and its own settings are readable; gives what was put aside or opened. */
export function mendPlaces(place: MemoryPlace): string[] {
  const folders = [place.config, join(place.config, "projects"), transcriptFolder(place)];
  return [...folders.flatMap(mendFolder), ...mendConfig(join(place.config, ".claude.json"))];
}

function mendFolder(path: string): string[] {
  const mended: string[] = [];
  if (isThere(path) && !isDirectory(path)) mended.push(putAside(path));
  if (!isThere(path)) mkdirSync(path, { recursive: true, mode: 0o700 });
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    if (errnoOf(error) !== "EACCES") throw error;
    chmodSync(path, 0o700);
    mended.push(path);
  }
  return mended;
}

/** One that is no JSON ends the CLI at its start, and one that cannot be read to its end holds it there. */
function mendConfig(path: string): string[] {
  if (!isThere(path) || isDirectory(path) || isJson(path)) return [];
  return [putAside(path)];
}

function isJson(path: string): boolean {
  try {
    const found = statSync(path);
    if (!found.isFile() || found.size > maxConfigBytes) return false;
    const text = readFileSync(path, "utf8");
    if (text.trim() !== "") JSON.parse(text);
    return true;
  } catch (error) {
    // Nobody may read it: the CLI goes on without.
    return errnoOf(error) === "EACCES";
  }
}

/** It keeps its place's name, with one word more; what was put aside before it is gone. */
export function putAside(path: string): string {
  const aside = `${path}.aside`;
  rmSync(aside, { recursive: true, force: true });
  renameSync(path, aside);
  return aside;
}

export function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    // Below what is no folder, or one of those that nobody may look into.
    if (["ENOTDIR", "EACCES", "ELOOP"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

function isDirectory(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}
