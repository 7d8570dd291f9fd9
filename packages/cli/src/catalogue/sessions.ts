import type { Command } from "../command.ts";
import { dataDir, output, server, timeout, wholeNumber, yes } from "../options.ts";
import { queueCommands } from "./queue.ts";

export const sessionCommands: readonly Command[] = [
  {
    name: "run",
    summary: "Give Claude a task, follow it, end with its result.",
    args: ["PROMPT"],
    options: {
      workspace: {
        value: "NAME",
        short: "w",
        help: "the files to work on (default: your account's default workspace)",
      },
      create: { help: "make the workspace where it is new, without asking" },
      session: { value: "ID", short: "s", help: "go on in this session instead of a new one" },
      title: { value: "TEXT", help: "what the session is called (default: the prompt's beginning)" },
      quiet: { short: "q", help: "only what Claude says" },
      server,
      "data-dir": { ...dataDir, help: "without a server: start everything on this directory for one run (as root)" },
      output,
    },
    details:
      "PROMPT - reads it from standard input. Uses the server you are logged in to; where there is none, root gets one\nfor the length of the run. Ctrl-C stops the turn first and ends with 130; a third Ctrl-C does not wait.\nExit code 0 when the turn completed, 1 when it did not, or when it asks something and nobody is at a terminal.",
    examples: [
      'holdfast run "Explain what is in this workspace"',
      'holdfast run -w website "Fix the failing test" -o json',
      "git diff | holdfast run -",
    ],
    load: async () => (await import("../commands/run.ts")).runPrompt,
  },
  {
    name: "ls",
    summary: "List your sessions, the newest first.",
    args: [],
    options: {
      all: { short: "a", help: "all of them, not only the newest 20" },
      quiet: { short: "q", help: "only the ids" },
      server,
      output,
    },
    load: async () => (await import("../commands/ls.ts")).list,
  },
  {
    name: "attach",
    summary: "Follow a session and talk to it.",
    args: ["ID"],
    options: { server, output },
    details:
      "Type a message and press Enter. Ctrl-C stops the turn that runs, or leaves when none does; Ctrl-D leaves.\nThe session goes on without you. What Claude asks is answered in the same line, which says how.",
    examples: ["holdfast attach last"],
    load: async () => (await import("../commands/attach.ts")).attach,
  },
  {
    name: "answer",
    summary: "Answer what Claude asks in a session, without a terminal.",
    args: ["ID", "ANSWER…"],
    options: { server, output },
    details:
      "The oldest open question of `holdfast logs ID`. ANSWER is y (yes), n (no), s (no, and stop the turn), a or a1, a2…\n(always, as shown), or why not, in your words. A question with choices takes an answer to each of its parts:\na number, several as 1,2, or your own words; - declines. A plan also takes e (yes, accept its edits) and d (yes,\nask before each).",
    examples: ["holdfast answer last y", 'holdfast answer last "No: use the other file"', "holdfast answer last 2 1,3"],
    load: async () => (await import("../commands/answer.ts")).answer,
  },
  {
    name: "send",
    summary: "Send a message to a session without waiting for the answer.",
    args: ["ID", "TEXT"],
    options: { now: { help: "stop the turn that runs, and let this one run at once" }, server, output },
    details: "While a turn runs a message waits for its end: `holdfast queue ID` shows it.",
    examples: [
      'holdfast send last "Now write the tests"',
      'holdfast send last --now "Leave that, and undo it"',
      "holdfast send last - < task.md",
    ],
    load: async () => (await import("../commands/send.ts")).send,
  },
  ...queueCommands,
  {
    name: "background",
    summary: "List what runs in a session beside its turns: agents, shells, monitors.",
    args: ["ID"],
    options: { server, output },
    details: "`holdfast stop ID` ends all agents, `holdfast stop ID --task TASK` one of what is listed here.",
    examples: ["holdfast background last"],
    load: async () => (await import("../commands/background.ts")).background,
  },
  {
    name: "set",
    summary: "Show or change a session's permission mode, model and effort.",
    args: ["ID"],
    options: {
      mode: {
        value: "MODE",
        help: "plan, dontAsk, default, acceptEdits or bypassPermissions",
        choices: ["plan", "dontAsk", "default", "acceptEdits", "bypassPermissions"],
      },
      model: {
        value: "NAME",
        help: "e.g. opus, sonnet, haiku, or a full name; default: the agent's, or Claude Code's",
      },
      effort: {
        value: "LEVEL",
        help: "low, medium, high, xhigh or max; default: the agent's, or the model's",
        choices: ["low", "medium", "high", "xhigh", "max", "default"],
      },
      server,
      output,
    },
    details:
      "Counts at once, in the middle of a turn, too, and stays over restarts; bypassPermissions begins with the next\nmessage. What Claude sets itself (plan mode, /model, /effort) stays in the same way. Without options: what it is.",
    examples: ["holdfast set last", "holdfast set last --mode plan", "holdfast set last --model opus --effort high"],
    load: async () => (await import("../commands/set.ts")).set,
  },
  {
    name: "context",
    summary: "Show what fills a session's context window.",
    args: ["ID"],
    options: {
      start: { help: "start Claude Code where it does not run; no message is sent, no model is asked" },
      server,
      output,
    },
    details: "As Claude Code counts it, in a turn, too. Where it does not run: what was last known.",
    examples: ["holdfast context last", "holdfast context last -o json | jq .percent_used"],
    load: async () => (await import("../commands/context.ts")).contextUsage,
  },
  {
    name: "logs",
    summary: "Print what was said and done in a session.",
    args: ["ID"],
    options: {
      follow: { short: "f", help: "go on until Ctrl-C" },
      tail: { value: "N", short: "n", help: "only the newest N events", check: wholeNumber(1, 100_000) },
      raw: { help: "the lines of Claude Code itself, images and copies of files clipped" },
      full: { help: "with --raw: every byte, nothing clipped; for files, not for terminals" },
      server,
      output,
    },
    examples: ["holdfast logs last -f", "holdfast logs last -o json | jq .type", "holdfast logs last --raw | jq .type"],
    load: async () => (await import("../commands/logs.ts")).logs,
  },
  {
    name: "stop",
    summary: "Stop what runs in a session (sesn_…), or a sandbox (its id).",
    args: ["ID"],
    options: {
      message: { value: "MESSAGE", help: "only the turn of this message, as `holdfast queue ID` names it" },
      task: { value: "TASK", help: "only this agent, shell or monitor, as `holdfast background ID` names it" },
      server,
      output,
    },
    details:
      "The turn that runs ends, and every agent that works in the background; shells and monitors go on. A stopped session\nkeeps its conversation; a stopped sandbox keeps its workspace. Both go on at the next message.\nMessages that wait run on; called twice in a row, it does not stop the turn of the next one.",
    load: async () => (await import("../commands/stop.ts")).stop,
  },
  {
    name: "rm",
    summary: "Delete a session: its conversation and its log. The workspace's files stay.",
    args: ["ID"],
    options: { archive: { help: "put it away instead of deleting it" }, yes, server, output },
    load: async () => (await import("../commands/rm.ts")).remove,
  },
  {
    name: "sandboxes",
    summary: "List your running sandboxes.",
    args: [],
    options: { all: { short: "a", help: "those that have ended, too" }, server, output },
    load: async () => (await import("../commands/sandboxes.ts")).sandboxes,
  },
  {
    name: "exec",
    summary: "Run a command in a session's sandbox and end with its exit code.",
    args: ["ID", "COMMAND…"],
    options: { timeout, root: { help: "as root instead of as claudeuser, who runs Claude" }, server, output },
    details: "Put `--` before the command. ID is a session, or a sandbox of `holdfast sandboxes`.",
    examples: ["holdfast exec last -- ls -la /mnt/workspace"],
    load: async () => (await import("../commands/exec.ts")).exec,
  },
  {
    name: "sh",
    summary: "A shell in a workspace's sandbox, in a real terminal.",
    args: ["[ID]"],
    options: {
      workspace: {
        value: "NAME",
        short: "w",
        help: "the workspace (default: the one of the session or sandbox ID, else `default`)",
      },
      attach: { value: "TERMINAL", help: "go on with a terminal that runs" },
      list: { help: "list the terminals that run" },
      end: { value: "TERMINAL", help: "end a terminal with all that runs in it" },
      server,
      output,
    },
    details:
      "A workspace without a sandbox gets one. A lost connection comes back by itself; a server that is started again is\nno reason to begin anew. Enter ~ . leaves the terminal running (`--attach` comes back), Enter ~ ? says so, Ctrl-D\nends the shell, whose exit code is this command's. The sandbox is stopped when it was idle for long enough: nobody\nattached, and nothing but shells at their prompts.",
    examples: ["holdfast sh", "holdfast sh -w website", "holdfast sh last", "holdfast sh --attach term_…"],
    load: async () => (await import("../commands/sh.ts")).shell,
  },
];
