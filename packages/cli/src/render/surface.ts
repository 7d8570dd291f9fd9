import type { Printer } from "../printer.ts";
import { fit, widthOf } from "./clean.ts";
import type { Surface } from "./transcript.ts";

export interface ClosableSurface extends Surface, Disposable {}

/** For pipes and files: lines as they come, and no status. */
export function plainSurface({ stdout }: Pick<Printer, "stdout">): ClosableSurface {
  let open = false;
  const endStream = () => {
    if (open) stdout.write("\n");
    open = false;
  };
  return {
    print: (text) => {
      endStream();
      stdout.write(`${text}\n`);
    },
    stream: (text) => {
      stdout.write(text);
      open = !text.endsWith("\n");
    },
    endStream,
    status: () => undefined,
    [Symbol.dispose]: endStream,
  };
}

/** The line that the reader types on, drawn below everything else. */
export interface InputLine {
  /** Rows above the cursor's that the input takes. */
  rowsAbove(): number;
  draw(): void;
}

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const tickMs = 120;

/**
 * For terminals: text grows where it stands, and below it lies a footer (status, input line) that is drawn anew after
 * every change. Only the unfinished row of a text belongs to the footer; full rows are broken at words and left alone.
 */
export function liveSurface({ stdout, paint }: Pick<Printer, "stdout" | "paint">, input?: InputLine): ClosableSurface {
  const columns = () => Math.max(20, stdout.columns ?? 80);
  let partial = "";
  let status: { text: string; sinceMs: number } | undefined;
  let drawn = 0;
  let frame = 0;
  const statusLine = () => {
    if (status === undefined) return undefined;
    const seconds = Math.floor((Date.now() - status.sinceMs) / 1000);
    const time = seconds >= 1 ? ` · ${seconds} s` : "";
    const sign = frames[frame % frames.length] ?? "";
    return paint("dim", fit(`${sign} ${status.text.split("\n")[0] ?? ""}${time}`, columns() - 1));
  };
  const update = (lines: string) => {
    const up = drawn + (input?.rowsAbove() ?? 0);
    const footer = [partial === "" ? undefined : partial, statusLine()].filter((line) => line !== undefined);
    const erase = `${up > 0 ? `\u001b[${up}A` : ""}\r\u001b[J`;
    // With an input line, the footer's rows stand above it; without one the cursor waits at the footer's last row.
    drawn = input === undefined ? Math.max(0, footer.length - 1) : footer.length;
    stdout.write(erase + lines + footer.join("\n") + (input !== undefined && footer.length > 0 ? "\n" : ""));
    input?.draw();
  };
  const ticker = setInterval(() => {
    frame += 1;
    if (status !== undefined) update("");
  }, tickMs);
  ticker.unref();
  const endStream = () => {
    if (partial === "") return;
    const rest = `${partial}\n`;
    partial = "";
    update(rest);
  };
  return {
    print: (text) => {
      const before = partial === "" ? "" : `${partial}\n`;
      partial = "";
      update(`${before}${text}\n`);
    },
    stream: (text) => {
      const { full, rest } = wrap(partial + text, columns() - 1);
      partial = rest;
      update(full);
    },
    endStream,
    status: (text) => {
      if (text === status?.text) return;
      status = text === undefined ? undefined : { text, sinceMs: Date.now() };
      update("");
    },
    [Symbol.dispose]: () => {
      clearInterval(ticker);
      status = undefined;
      if (partial === "") update("");
      else endStream();
    },
  };
}

/** Full rows with their line ends, and the row that may still grow. */
export function wrap(text: string, columns: number): { full: string; rest: string } {
  const lines = text.replaceAll("\t", "    ").split("\n");
  const rest = lines.pop() ?? "";
  const rows = rowsOf(rest, columns);
  const last = rows.pop() ?? "";
  const full = [...lines.flatMap((line) => rowsOf(line, columns)), ...rows];
  return { full: full.map((row) => `${row}\n`).join(""), rest: last };
}

function rowsOf(line: string, columns: number): string[] {
  const rows: string[] = [];
  let row = "";
  for (const word of line.split(/(?<= )/)) {
    if (row !== "" && widthOf(row + word.trimEnd()) > columns) {
      rows.push(row.trimEnd());
      row = "";
    }
    row += word;
    while (widthOf(row) > columns && row.trimEnd().length > 0 && widthOf(row.trimEnd()) > columns) {
      let end = 0;
      for (let width = 0; end < row.length; ) {
        const char = String.fromCodePoint(row.codePointAt(end) ?? 0);
        width += widthOf(char);
        if (width > columns) break;
        end += char.length;
      }
      rows.push(row.slice(0, end));
      row = row.slice(end);
    }
  }
  return [...rows, row];
}
