import type { Command } from "../command.ts";
import { output, server } from "../options.ts";

export const queueCommands: readonly Command[] = [
  {
    name: "queue",
    summary: "List the messages of a session that wait, and those being worked on.",
    args: ["ID"],
    options: { server, output },
    details: "What waits can be changed, removed, or made to run now; what runs can be stopped.",
    examples: ["holdfast queue last", "holdfast queue last -o json | jq -r .id"],
    load: async () => (await import("../commands/queue.ts")).queueList,
  },
  {
    name: "queue edit",
    summary: "Change the words of a message that waits.",
    args: ["ID", "MESSAGE", "TEXT"],
    options: { server, output },
    details: "MESSAGE is an id of `holdfast queue ID`. TEXT - reads it from standard input.",
    examples: ['holdfast queue edit last sevt_… "Now write the tests, too"'],
    load: async () => (await import("../commands/queue.ts")).queueEdit,
  },
  {
    name: "queue rm",
    summary: "Remove a message that waits.",
    args: ["ID", "MESSAGE"],
    options: { server, output },
    load: async () => (await import("../commands/queue.ts")).queueRemove,
  },
  {
    name: "queue now",
    summary: "Stop the turn that runs, and let a message that waits run at once.",
    args: ["ID", "MESSAGE"],
    options: { server, output },
    load: async () => (await import("../commands/queue.ts")).queueNow,
  },
];
