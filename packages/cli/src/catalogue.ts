import { accountCommands } from "./catalogue/accounts.ts";
import { machineCommands } from "./catalogue/machine.ts";
import { sessionCommands } from "./catalogue/sessions.ts";
import type { Command } from "./command.ts";

export const groups: readonly { title: string; commands: readonly Command[] }[] = [
  { title: "Work", commands: sessionCommands },
  { title: "Accounts, keys and workspaces", commands: accountCommands },
  { title: "This machine", commands: machineCommands },
];

export const commands: readonly Command[] = groups.flatMap((group) => group.commands);
