import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../failure.ts";
import { isSafeName } from "../run-paths.ts";

/** What lies beside a process's spool and survives this program. */
export interface ProcessRecord {
  readonly processId: string;
  readonly sessionId: string;
  /** 0 until it runs. */
  readonly pid: number;
  /** The supplementary group of all that it starts; null or absent: it has none of its own. */
  readonly gid?: number | null;
  /** With the pid it names the process beyond reuse of pids. */
  readonly startTime: string;
}

export interface ExitRecord {
  readonly code: number | null;
  /** A signal's name; `lost` when this program died and the end was not seen. */
  readonly signal: string | null;
  readonly spoolFailed: string | null;
}

const recordFile = "process.json";
const exitFile = "exit.json";
const linesFile = "stdin-lines";
/** Room for the exit record is taken at the start: it must be writable when the disk is full. */
const exitBytes = 1024;

export function createRecord(folder: string, record: ProcessRecord): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, exitFile), " ".repeat(exitBytes), { mode: 0o600 });
  writeFileSync(join(folder, linesFile), "", { mode: 0o600 });
  updateRecord(folder, record);
}

export function updateRecord(folder: string, record: ProcessRecord): void {
  const path = join(folder, recordFile);
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

/** Written in place, over the room that was kept for it. */
export function writeExit(folder: string, exit: ExitRecord): void {
  const short = exit.spoolFailed === null ? exit : { ...exit, spoolFailed: exit.spoolFailed.slice(0, 200) };
  const descriptor = openSync(join(folder, exitFile), "r+");
  try {
    writeSync(descriptor, JSON.stringify(short).padEnd(exitBytes, " "), 0);
  } finally {
    closeSync(descriptor);
  }
}

export function appendLineId(folder: string, lineId: string): void {
  appendFileSync(join(folder, linesFile), `${lineId}\n`, { mode: 0o600 });
}

export interface StoredProcess {
  readonly folder: string;
  readonly record: ProcessRecord;
  readonly exit: ExitRecord | null;
  readonly lineIds: readonly string[];
}

/**
 * What an earlier run of this program left. A record is written before its process is started: a folder without one is
 * the beginning of a process that never was, and goes.
 */
export function loadRecords(spoolFolder: string): StoredProcess[] {
  mkdirSync(spoolFolder, { recursive: true, mode: 0o700 });
  const stored: StoredProcess[] = [];
  for (const name of readdirSync(spoolFolder)) {
    const folder = join(spoolFolder, name);
    if (!existsSync(join(folder, recordFile))) {
      rmSync(folder, { recursive: true, force: true });
      continue;
    }
    const record = readJson(join(folder, recordFile)) as ProcessRecord | undefined;
    if (record === undefined || record.processId !== name || !isSafeName(record.sessionId)) continue;
    const exit = (readJson(join(folder, exitFile)) as ExitRecord | undefined) ?? null;
    const lineIds = readText(join(folder, linesFile)).split("\n").filter(Boolean);
    stored.push({ folder, record, exit, lineIds });
  }
  return stored;
}

function readJson(path: string): unknown {
  const text = readText(path).trim();
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    // Torn by the death of the writer: as if it had not been written.
    return undefined;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return "";
    throw error;
  }
}
