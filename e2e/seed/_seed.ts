import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestKit, WireEvent } from "@holdfast/testkit";
import type { Secrets } from "../../packages/cli/src/up/secrets.ts";

export type ExecStart = Extract<WireEvent, { kind: "exec.start" }>;
export type ExecExit = Extract<WireEvent, { kind: "exec.exit" }>;

/** Which step of the mission an exec is, by its command line. */
export function stepOf(args: string[]): "exec 1" | "exec 2" | "sync" | "other" {
  const line = args.join(" ");
  if (/guest\.mjs permissions\b/.test(line)) return "exec 1";
  if (/guest\.mjs start\b/.test(line)) return "exec 2";
  if (/\baws s3 sync\b/.test(line)) return "sync";
  return "other";
}

/** The wire's events as short words: `SandboxCreate`, `exec 1 start`, `exec 1 exit 0`… */
export function timeline(events: WireEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.kind === "sandbox.create") return ["SandboxCreate"];
    const step = stepOf(event.args);
    if (step === "other") return [];
    return [event.kind === "exec.start" ? `${step} start` : `${step} exit ${event.code ?? `signal ${event.signal}`}`];
  });
}

export function execStarts(events: WireEvent[], step: ReturnType<typeof stepOf>): ExecStart[] {
  return events.filter((event): event is ExecStart => event.kind === "exec.start" && stepOf(event.args) === step);
}

export function execExits(events: WireEvent[], step: ReturnType<typeof stepOf>): ExecExit[] {
  return events.filter((event): event is ExecExit => event.kind === "exec.exit" && stepOf(event.args) === step);
}

export function secretsOf(kit: TestKit): Secrets {
  return JSON.parse(readFileSync(join(kit.dataDir, "secrets.json"), "utf8")) as Secrets;
}

/** A command as claudeuser, through a shell. */
export const asClaudeuser = (command: string): string[] => ["runuser", "-u", "claudeuser", "--", "sh", "-c", command];
