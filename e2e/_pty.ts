import { spawn } from "@lydell/node-pty";
import { cliMain } from "./_machine.ts";

/** The command in a terminal of 100 columns. */
export interface Terminal {
  /** Everything that was sent to the terminal so far, without colours and cursor movements. */
  text(): string;
  /** Everything, as it was sent. */
  raw(): string;
  type(keys: string): void;
  resize(size: { cols: number; rows: number }): void;
  /** Resolves when the text (after `from`) contains the words; rejects when the command ends first, or never says them. */
  until(words: string | RegExp, options?: { from?: number; timeoutMs?: number }): Promise<void>;
  exit: Promise<number>;
  kill(): void;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal acts on
const controls = /\u001b\[[\d;?]*[A-Za-z]/g;

export function terminal(args: string[], env: Record<string, string>): Terminal {
  const child = spawn(process.execPath, [cliMain, ...args], {
    cols: 100,
    rows: 30,
    env: { ...process.env, TERM: "xterm-256color", ...env } as Record<string, string>,
  });
  let raw = "";
  let ended = false;
  const waiting = new Set<() => void>();
  const changed = () => {
    for (const wake of [...waiting]) wake();
  };
  child.onData((data) => {
    raw += data;
    changed();
  });
  const exit = new Promise<number>((resolve) => {
    child.onExit(({ exitCode }) => {
      ended = true;
      changed();
      resolve(exitCode);
    });
  });
  const text = () => raw.replace(controls, "").replace(/\r+\n/g, "\n");
  const until: Terminal["until"] = (words, { from = 0, timeoutMs = 60_000 } = {}) =>
    new Promise((resolve, reject) => {
      const done = (work: () => void) => {
        clearTimeout(timer);
        waiting.delete(check);
        work();
      };
      const check = () => {
        const shown = text().slice(from);
        if (typeof words === "string" ? shown.includes(words) : words.test(shown)) done(resolve);
        else if (ended) done(() => reject(new Error(`it ended without saying ${words}:\n${text()}`)));
      };
      const timer = setTimeout(
        () => done(() => reject(new Error(`it never said ${words}:\n${text().slice(-4000)}`))),
        timeoutMs,
      );
      waiting.add(check);
      check();
    });
  return {
    text,
    raw: () => raw,
    type: (keys) => child.write(keys),
    resize: ({ cols, rows }) => child.resize(cols, rows),
    until,
    exit,
    kill: () => child.kill("SIGKILL"),
  };
}
