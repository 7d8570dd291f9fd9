import type { Writable } from "node:stream";

/** The command's only way to the terminal: results on stdout, progress and errors on stderr. */
export interface Printer {
  /** One line of the result. */
  line(text: string): void;
  /** One line about what goes on. */
  progress(text: string): void;
  error(what: string, why: string, todo: string): void;
}

export interface PrinterStreams {
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable & { isTTY?: boolean };
  noColor: boolean;
}

export function createPrinter(streams: PrinterStreams): Printer {
  const colour = (code: number, text: string) =>
    streams.stderr.isTTY === true && !streams.noColor ? `\u001b[${code}m${text}\u001b[0m` : text;
  return {
    line: (text) => void streams.stdout.write(`${text}\n`),
    progress: (text) => void streams.stderr.write(`${colour(2, text)}\n`),
    error: (what, why, todo) => {
      streams.stderr.write(`${colour(31, `Error: ${what}`)}\n`);
      if (why !== "") streams.stderr.write(`  Why: ${why}\n`);
      if (todo !== "") streams.stderr.write(`  What to do: ${todo}\n`);
    },
  };
}
