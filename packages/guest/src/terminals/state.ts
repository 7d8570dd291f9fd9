import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";

/** What of a terminal must survive this program, beside its output. */
export interface TerminalState {
  readonly createdMs: number;
  rows: number;
  cols: number;
  /** How far each writer's input has been taken, in bytes; who wrote last comes last. */
  inputs: [writer: string, end: number][];
}

/** A page: written in one piece or not at all, whatever ends this program. */
const stateBytes = 4096;
/** With names of 40 characters they fit. */
const mostWriters = 32;

/** In place, over room that is there from the first time on: input must be taken when the disk is full. */
export function writeState(path: string, state: TerminalState): void {
  state.inputs = state.inputs.slice(-mostWriters);
  const text = JSON.stringify(state).padEnd(stateBytes, " ");
  const descriptor = openSync(path, "r+");
  try {
    writeSync(descriptor, text, 0);
  } finally {
    closeSync(descriptor);
  }
}

export function createState(path: string, state: TerminalState): void {
  writeFileSync(path, "", { mode: 0o600 });
  writeState(path, state);
}

/** Undefined where its maker died over it. */
export function readState(path: string): TerminalState | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as TerminalState;
  } catch {
    return undefined;
  }
}
