import type { Command } from "../command.ts";
import { dataDir, defaultDataDir, output, server, wholeNumber } from "../options.ts";

export const machineCommands: readonly Command[] = [
  {
    name: "up",
    summary: "Serve Holdfast on this machine until Ctrl-C: page, API, engine, gateway and storage.",
    args: [],
    options: {
      port: {
        value: "N",
        help: "where the page and the API are served on 127.0.0.1 (default 4600)",
        check: wholeNumber(1, 65_535),
      },
      "data-dir": {
        ...dataDir,
        help: `where everything durable lies (default ${defaultDataDir}, or HOLDFAST_DATA_DIR)`,
      },
    },
    details:
      "Needs root. The first start builds the sandbox image (about a minute). ANTHROPIC_API_KEY, when set, is kept by\nthe gateway; without a key a scripted model answers and says so.",
    examples: ["holdfast up", "holdfast up --port 4700 --data-dir /srv/holdfast"],
    load: async () => (await import("../commands/up.ts")).up,
  },
  {
    name: "down",
    summary: "End the Holdfast that runs on a data directory: turns, sandboxes, services.",
    args: [],
    options: { "data-dir": dataDir, output },
    details: "The same as Ctrl-C in its terminal: turns end, workspaces are saved, nothing is left running.",
    examples: ["holdfast down"],
    load: async () => (await import("../commands/down.ts")).down,
  },
  {
    name: "doctor",
    summary: "Check this machine and the server; every problem comes with its remedy.",
    args: [],
    options: {
      "data-dir": dataDir,
      server,
      bundle: {
        value: "FILE",
        help: "also write versions, settings and the ends of the logs, without secrets, to FILE",
      },
      output,
    },
    details: "Exit code 1 when there is at least one problem. Notes are no problems.",
    examples: ["holdfast doctor", "holdfast doctor --bundle report.json"],
    load: async () => (await import("../commands/doctor.ts")).doctor,
  },
  {
    name: "completion",
    summary: "Print a completion script for your shell.",
    args: ["bash|zsh|fish"],
    options: {},
    examples: [
      'eval "$(holdfast completion bash)"',
      "holdfast completion zsh > ~/.zfunc/_holdfast",
      "holdfast completion fish > ~/.config/fish/completions/holdfast.fish",
    ],
    load: async () => (await import("../commands/completion.ts")).completion,
  },
  {
    name: "version",
    summary: "Print the versions of this command and of Node.",
    args: [],
    options: { output },
    load: async () => (await import("../commands/version.ts")).version,
  },
];
