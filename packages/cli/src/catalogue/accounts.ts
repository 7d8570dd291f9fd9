import type { Command } from "../command.ts";
import { dataDir, defaultDataDir, output, server, yes } from "../options.ts";

const local = {
  ...dataDir,
  help: "work on this data directory's database instead of a server (as root)",
};

export const accountCommands: readonly Command[] = [
  {
    name: "login",
    summary: "Store a server's address and your key for it.",
    args: ["[URL]"],
    options: {
      key: { value: "KEY", help: "your API key; `-` reads it from standard input" },
      "data-dir": { ...dataDir, help: "log in as the administrator of the Holdfast that runs here on DIR (as root)" },
      "anthropic-key": { help: "read an Anthropic API key and store it on the server instead" },
      server,
      output,
    },
    details:
      "URL is a link that `holdfast up` or `holdfast login-url` prints (it works once), or with --key the server's\naddress. What is stored lies in $XDG_CONFIG_HOME/holdfast/config.json, readable for you only.",
    examples: [
      "holdfast login 'http://127.0.0.1:4600/login?token=…'",
      "holdfast login http://127.0.0.1:4600 --key -",
      "holdfast login --data-dir /var/lib/holdfast",
      "holdfast login --anthropic-key < key.txt",
    ],
    load: async () => (await import("../commands/login.ts")).login,
  },
  {
    name: "login-url",
    summary: "Print a link that logs a browser in as the administrator.",
    args: [],
    options: {
      "data-dir": {
        ...dataDir,
        help: `of the Holdfast that runs here (default ${defaultDataDir}, or HOLDFAST_DATA_DIR)`,
      },
      server: { ...server, help: "the address that the browser reaches it by (default: the one it listens on)" },
      output,
    },
    details: "It works once, within a quarter of an hour. Run it as the user who runs `holdfast up`.",
    examples: ["holdfast login-url", "holdfast login-url --server https://holdfast.example"],
    load: async () => (await import("../commands/login.ts")).loginUrl,
  },
  {
    name: "account add",
    summary: "Add an account and print its API key, once.",
    args: ["NAME"],
    options: { "data-dir": local, server, output },
    details:
      "Without a server that you are logged in to, the account is written to the database of the data directory.",
    examples: ["holdfast account add alice"],
    load: async () => (await import("../commands/account.ts")).accountAdd,
  },
  {
    name: "account list",
    summary: "List the accounts.",
    args: [],
    options: { "data-dir": local, server, output },
    load: async () => (await import("../commands/account.ts")).accountList,
  },
  {
    name: "account rm",
    summary: "Delete an account with its sessions, workspaces and files.",
    args: ["NAME"],
    options: { yes, server, output },
    details:
      "For the administrator. NAME may be the account's id. Its keys count no more at once, and a turn that runs is ended.",
    examples: ["holdfast account rm alice"],
    load: async () => (await import("../commands/account.ts")).accountRemove,
  },
  {
    name: "key add",
    summary: "Add an API key to your account and print it, once.",
    args: ["NAME"],
    options: { server, output },
    examples: ["holdfast key add laptop"],
    load: async () => (await import("../commands/key.ts")).keyAdd,
  },
  {
    name: "key list",
    summary: "List your account's API keys: their beginnings, and when each was last used.",
    args: [],
    options: { server, output },
    load: async () => (await import("../commands/key.ts")).keyList,
  },
  {
    name: "key revoke",
    summary: "Refuse an API key from now on.",
    args: ["KEY_ID"],
    options: { server, output },
    load: async () => (await import("../commands/key.ts")).keyRevoke,
  },
  {
    name: "workspace list",
    summary: "List your workspaces.",
    args: [],
    options: { server, output },
    load: async () => (await import("../commands/workspace.ts")).workspaceList,
  },
  {
    name: "workspace add",
    summary: "Make an empty workspace.",
    args: ["NAME"],
    options: { server, output },
    examples: ["holdfast workspace add website"],
    load: async () => (await import("../commands/workspace.ts")).workspaceAdd,
  },
  {
    name: "workspace rules",
    summary: "List what Claude may always do in a workspace, or delete a rule of it.",
    args: ["NAME"],
    options: { delete: { value: "RULE", help: "delete this one: its text or its id" }, server, output },
    examples: ["holdfast workspace rules default", "holdfast workspace rules default --delete 'Bash(npm test *)'"],
    load: async () => (await import("../commands/workspace-rules.ts")).workspaceRules,
  },
  {
    name: "workspace rename",
    summary: "Give a workspace another name.",
    args: ["NAME", "NEW_NAME"],
    options: { server, output },
    load: async () => (await import("../commands/workspace.ts")).workspaceRename,
  },
  {
    name: "workspace rm",
    summary: "Delete a workspace with its files.",
    args: ["NAME"],
    options: { yes, server, output },
    load: async () => (await import("../commands/workspace.ts")).workspaceRemove,
  },
];
