import { type GuestTerminal, guestBundlePath } from "@holdfast/guest";
import { AppError, newId, type Terminal, type TerminalSize } from "@holdfast/protocol";
import type { Database } from "../../ports/database.ts";
import type { Machine } from "../machines/machine.ts";
import type { Machines, Purpose } from "../machines/machines.ts";
import { GuestAbsentError, type GuestLink } from "../sandboxes/guest-link.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { filesMount, homeDir } from "../sandboxes/mounts.ts";
import { type ExecResult, runExec } from "../sandboxes/run-exec.ts";
import { fromRow, type Workspace } from "../workspaces/workspace-rows.ts";
import { Attachment } from "./attachment.ts";
import { asProblem, refusal } from "./problems.ts";

export interface TerminalsDeps {
  db: Database;
  machines: Pick<Machines, "open" | "find">;
}

/** Whose terminal, and which. */
export interface TerminalAsk {
  accountId: string;
  workspaceId: string;
  terminalId: string;
  signal: AbortSignal;
}

const openMs = 60_000;
/** Each has a process in the sandbox, and one more of ours there. */
const mostAttached = 16;
/** `EX_USAGE`: it knows no such word. */
const usageExit = 64;
const asUser = ["runuser", "-u", "claudeuser", "--"];
const environment = [
  `HOME=${homeDir}`,
  "USER=claudeuser",
  "LOGNAME=claudeuser",
  "SHELL=/bin/bash",
  "TERM=xterm-256color",
  "LANG=C.UTF-8",
];

/** Terminals live in the sandbox, with its guest: nothing of them is kept here. */
export class Terminals {
  readonly #deps: TerminalsDeps;
  /** By workspace: how many are attached here. */
  readonly #attached = new Map<string, number>();

  constructor(deps: TerminalsDeps) {
    this.#deps = deps;
  }

  /** A workspace without a sandbox gets one. */
  async create(
    { accountId, workspaceId, signal }: Omit<TerminalAsk, "terminalId">,
    { rows, cols }: TerminalSize,
  ): Promise<Terminal> {
    const workspace = await this.#workspace(accountId, workspaceId);
    using machine = await this.#deps.machines.open(workspace, "terminal", signal);
    const { sandbox } = machine;
    const size = ["--rows", String(rows), "--cols", String(cols)];
    const args = ["node", guestBundlePath, "terminal", "--terminal", newId("terminal"), ...size, "--cwd", filesMount];
    const command = [...args, "--", ...asUser, "env", ...environment];
    const both = AbortSignal.any([signal, sandbox.gone]);
    const result = await runExec(sandbox.handle, command, { timeoutMs: openMs, signal: both }).catch(asProblem);
    return toView(opened(result), sandbox);
  }

  /** Of the sandbox that runs; none is made for this. Oldest first. */
  async list({ accountId, workspaceId, signal }: Omit<TerminalAsk, "terminalId">): Promise<Terminal[]> {
    const workspace = await this.#workspace(accountId, workspaceId);
    using machine = await this.#deps.machines.find(workspace, "look", signal);
    if (machine === undefined) return [];
    const { sandbox } = machine;
    return (await this.#listIn(sandbox, signal)).map((each) => toView(each, sandbox));
  }

  async resize(ask: TerminalAsk, { rows, cols }: TerminalSize): Promise<Terminal> {
    using machine = await this.#machine(ask, "look");
    const { sandbox } = machine;
    const { terminalId, signal } = ask;
    const link = await linkTo(sandbox, signal);
    await link.call({ type: "resize_terminal", terminalId, rows, cols }, { signal }).catch(asProblem);
    const found = (await this.#listIn(sandbox, signal)).find((each) => each.terminalId === terminalId);
    if (found === undefined) throw new AppError("terminal_not_found");
    return toView(found, sandbox);
  }

  async end(ask: TerminalAsk): Promise<void> {
    using machine = await this.#machine(ask, "look");
    const { terminalId, signal } = ask;
    const link = await linkTo(machine.sandbox, signal);
    await link.call({ type: "end_terminal", terminalId }, { signal }).catch(asProblem);
  }

  /** For whoever disposes of it. The sandbox counts as used meanwhile. */
  async attach(ask: TerminalAsk, { writer }: { writer: string }): Promise<Attachment> {
    const { terminalId, signal } = ask;
    const machine = await this.#machine(ask, "terminal");
    let link: GuestLink | undefined;
    const leave = this.#enter(ask.workspaceId);
    try {
      if (leave === undefined) throw new AppError("too_many_attached");
      link = await machine.link(signal).catch(asProblem);
      if (!link.makesTerminals) throw new AppError("terminals_unsupported");
      const { terminals = [] } = await link.call({ type: "list_terminals" }, { signal }).catch(asProblem);
      if (!terminals.some((each) => each.terminalId === terminalId)) throw new AppError("terminal_not_found");
      return new Attachment(machine, link, { terminalId, writer, leave });
    } catch (error) {
      leave?.();
      machine[Symbol.dispose]();
      await link?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Undefined when there are too many; else to be called when it is over. */
  #enter(workspaceId: string): (() => void) | undefined {
    const count = this.#attached.get(workspaceId) ?? 0;
    if (count >= mostAttached) return undefined;
    this.#attached.set(workspaceId, count + 1);
    return () => {
      const left = (this.#attached.get(workspaceId) ?? 1) - 1;
      if (left > 0) this.#attached.set(workspaceId, left);
      else this.#attached.delete(workspaceId);
    };
  }

  /** Whether a program beside its shell runs in one of this sandbox's terminals. */
  async isBusy(sandbox: LiveSandbox, signal: AbortSignal): Promise<boolean> {
    return (await this.#listIn(sandbox, signal)).some(({ isBusy }) => isBusy);
  }

  async #listIn(sandbox: LiveSandbox, signal: AbortSignal): Promise<GuestTerminal[]> {
    try {
      const link = await sandbox.link(signal);
      if (!link.makesTerminals) return [];
      return (await link.call({ type: "list_terminals" }, { signal })).terminals ?? [];
    } catch (error) {
      // Where no guest runs, none was ever asked for a terminal, or it has died: it is started by who attaches.
      if (error instanceof GuestAbsentError) return [];
      return asProblem(error);
    }
  }

  async #machine({ accountId, workspaceId, signal }: TerminalAsk, purpose: Purpose): Promise<Machine> {
    const workspace = await this.#workspace(accountId, workspaceId);
    const machine = await this.#deps.machines.find(workspace, purpose, signal).catch(asProblem);
    if (machine === undefined) throw new AppError("terminal_not_found", { detail: noSandbox });
    return machine;
  }

  async #workspace(accountId: string, id: string): Promise<Workspace> {
    const row = await this.#deps.db
      .selectFrom("workspaces")
      .selectAll()
      .where("account_id", "=", accountId)
      .where("id", "=", id)
      .where("deleted_at", "is", null)
      .executeTakeFirst();
    if (row === undefined) throw new AppError("workspace_not_found");
    return fromRow(row);
  }
}

const noSandbox = "The workspace's sandbox has ended, and its terminals with it";

async function linkTo(sandbox: LiveSandbox, signal: AbortSignal): Promise<GuestLink> {
  const link = await sandbox.link(signal).catch((error) => {
    if (error instanceof GuestAbsentError) throw new AppError("terminal_not_found", { cause: error });
    return asProblem(error);
  });
  if (!link.makesTerminals) throw new AppError("terminals_unsupported");
  return link;
}

/** What the guest's command says. */
function opened({ code, stdout, stderr }: ExecResult): GuestTerminal {
  if (code === 0) return JSON.parse(stdout) as GuestTerminal;
  if (code === usageExit) throw new AppError("terminals_unsupported");
  const line = stderr.trim().split("\n").at(-1) ?? "";
  const said = /^\{.*\}$/.test(line) ? (JSON.parse(line) as { code?: string; message?: string }) : {};
  throw refusal(said.code ?? "", said.message ?? `exit code ${code}: ${stderr.trim()}`);
}

function toView(
  { terminalId, createdMs, rows, cols, start, end, exit, isBusy }: GuestTerminal,
  { rowId, workspace }: LiveSandbox,
): Terminal {
  return {
    id: terminalId,
    workspace_id: workspace.id,
    sandbox_id: rowId,
    rows,
    cols,
    created_at: new Date(createdMs).toISOString(),
    state: exit === null ? "running" : "ended",
    exit_code: exit?.code ?? null,
    is_busy: isBusy,
    output: { start, end },
  };
}
