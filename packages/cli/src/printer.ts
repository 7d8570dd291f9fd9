import type { Writable } from "node:stream";
import { cleanText } from "./render/clean.ts";

/** The command's only way to the terminal: results on stdout, progress and errors on stderr. */
export interface Printer {
  readonly json: boolean;
  /** Whether stdout is a terminal that a live line can be drawn on. */
  readonly live: boolean;
  readonly stdout: Writable & { isTTY?: boolean; columns?: number };
  readonly stderr: Writable & { isTTY?: boolean; columns?: number };
  /** Colours for stdout. */
  readonly paint: Paint;
  /** One line of the result, for people; nothing with `-o json`. */
  line(text: string): void;
  /** The result for programs: one line, only with `-o json`. */
  data(value: unknown): void;
  /** A listing: a table, or with `-o json` one object a line. */
  table(listing: Table): void;
  /** One line about what goes on; not with `-o json`. */
  progress(text: string): void;
  error(what: string, why: string, todo: string): void;
}

export interface Table {
  columns: readonly string[];
  rows: readonly { cells: readonly string[]; data: unknown }[];
  /** Said instead of an empty table. */
  empty: string;
}

export interface PrinterOptions {
  stdout: Printer["stdout"];
  stderr: Printer["stderr"];
  noColor: boolean;
  dumbTerminal: boolean;
  json: boolean;
}

export type Paint = (style: "bold" | "dim" | "red" | "green" | "yellow" | "blue", text: string) => string;

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34 } as const;

export function painter(stream: { isTTY?: boolean }, noColor: boolean): Paint {
  if (stream.isTTY !== true || noColor) return (_style, text) => text;
  return (style, text) => `\u001b[${codes[style]}m${text}\u001b[0m`;
}

export function createPrinter({ stdout, stderr, noColor, dumbTerminal, json }: PrinterOptions): Printer {
  const aside = painter(stderr, noColor);
  const paint = painter(stdout, noColor);
  const data = (value: unknown) => {
    json && stdout.write(`${JSON.stringify(value)}\n`);
  };
  const line = (text: string) => {
    !json && stdout.write(`${text}\n`);
  };
  return {
    json,
    live: !json && stdout.isTTY === true && !dumbTerminal,
    stdout,
    stderr,
    paint,
    line,
    data,
    table: ({ columns, rows, empty }) => {
      if (json) for (const row of rows) data(row.data);
      else if (rows.length === 0) stderr.write(`${aside("dim", empty)}\n`);
      else for (const text of align(columns, rows, paint)) line(text);
    },
    progress: (text) => {
      !json && stderr.write(`${aside("dim", cleanText(text))}\n`);
    },
    error: (what, why, todo) => {
      if (json) {
        stderr.write(`${JSON.stringify({ error: { what, why, todo } })}\n`);
        return;
      }
      stderr.write(`${aside("red", cleanText(`Error: ${what}`))}\n`);
      if (why !== "") stderr.write(`  Why: ${cleanText(why)}\n`);
      if (todo !== "") stderr.write(`  What to do: ${cleanText(todo)}\n`);
    },
  };
}

function align(columns: readonly string[], rows: Table["rows"], paint: Paint): string[] {
  const cells = rows.map((row) => row.cells.map((cell) => cleanText(cell).replaceAll("\n", " ")));
  const widths = columns.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const lay = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [paint("dim", lay(columns)), ...cells.map(lay)];
}
