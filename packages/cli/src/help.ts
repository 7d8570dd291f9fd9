import { type Command, helpOption, type OptionSpec } from "./command.ts";

export function helpOf(command: Command): string {
  const usage = ["holdfast", command.name, ...command.args].join(" ");
  const options = Object.entries({ ...command.options, help: helpOption });
  const rows = options.map(([name, spec]): [string, string] => [optionWords(name, spec), spec.help]);
  const parts = [
    `${usage} [options]`,
    command.summary,
    ...(command.details === undefined ? [] : [command.details]),
    columns(rows),
    ...(command.examples === undefined ? [] : [`Examples:\n${command.examples.map((line) => `  ${line}`).join("\n")}`]),
  ];
  return parts.join("\n\n");
}

function optionWords(name: string, spec: OptionSpec): string {
  const short = spec.short === undefined ? "    " : `-${spec.short}, `;
  return `${short}--${name}${spec.value === undefined ? "" : ` ${spec.value}`}`;
}

function columns(rows: readonly [string, string][]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}

/** All commands under their headings. */
export function overview(groups: readonly { title: string; commands: readonly Command[] }[]): string {
  const words = (command: Command) => [command.name, ...command.args].join(" ");
  const width = Math.max(...groups.flatMap(({ commands }) => commands.map((command) => words(command).length)));
  const sections = groups.map(({ title, commands }) =>
    [title, ...commands.map((command) => `  ${words(command).padEnd(width)}  ${command.summary}`)].join("\n"),
  );
  return [
    "holdfast COMMAND [options]",
    "Claude Code for many accounts, each in isolated sandboxes on durable workspaces.",
    ...sections,
    [
      "`holdfast COMMAND --help` says more. Where an ID is asked for, `last` is the newest session.",
      "Exit codes: 0 done, 1 failed, 2 misused, 130 ended by Ctrl-C.",
    ].join("\n"),
  ].join("\n\n");
}

/** The known word that a mistyped one most likely meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known.map((each) => ({ each, steps: distance(word, each) })).sort((a, b) => a.steps - b.steps);
  const best = ranked[0];
  return best !== undefined && best.steps <= Math.max(1, Math.floor(word.length / 3)) ? best.each : undefined;
}

/** How many letters must be put in, taken out or changed, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...new Array<number>(b.length).fill(0)]);
  const at = (i: number, j: number) => (i === 0 ? j : (rows[i]?.[j] ?? 0));
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let steps = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        steps = Math.min(steps, at(i - 2, j - 2) + 1);
      const row = rows[i];
      if (row !== undefined) row[j] = steps;
    }
  }
  return at(a.length, b.length);
}
