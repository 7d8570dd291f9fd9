import { Sandbox, SandboxExec, SandboxExecFrame, Sweep } from "../../src/sandbox.ts";
import type { Shape } from "./shape.ts";

export const sandbox: Sandbox = {
  id: "sbx_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  provider_id: "sb-0123456789",
  workspace: "default",
  workspace_id: "wsp_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  state: "running",
  created_at: "2026-03-01T09:00:00Z",
  unknown: {
    account_id: "acc_01K3V6F7Q8ABCDEFGHJKMNPQRS",
    kept_until: "2026-03-02T09:00:00Z",
    detail: "S3 does not answer",
  },
};

export const sweep: Sweep = {
  at: "2026-03-01T09:00:00Z",
  running: 4,
  ended: [{ id: "sbx_01K3V6F7Q8ABCDEFGHJKMNPQRS", reason: "its account is gone" }],
  settled: ["sbx_01K3V6F7Q8ABCDEFGHJKMNPQRT"],
  unknown: 1,
  failures: ["the provider did not answer"],
};

export const execFrames: Record<SandboxExecFrame["type"], SandboxExecFrame> = {
  stdout: { type: "stdout", text: "hello\n" },
  stderr: { type: "stderr", text: "no such file\n" },
  exit: { type: "exit", code: 137 },
};

export const sandboxShapes: readonly Shape[] = [
  {
    name: "Sandbox",
    schema: Sandbox,
    example: sandbox,
    nullable: ["provider_id", "unknown", "unknown.detail"],
    choices: { state: ["wanted", "creating", "running", "ended", "unknown"] },
  },
  { name: "Sweep", schema: Sweep, example: sweep, whole: ["running", "unknown"] },
  {
    name: "SandboxExec",
    schema: SandboxExec,
    example: { command: ["ls", "-la"], timeout_ms: 5_000, user: "root" },
    whole: ["timeout_ms"],
    closed: [""],
    ruled: ["command.0", "command.1"],
    choices: { user: ["claudeuser", "root"] },
    defaulted: ["timeout_ms", "user"],
  },
  { name: "SandboxExecFrame stdout", schema: SandboxExecFrame, example: execFrames.stdout, fixed: ["type"] },
  { name: "SandboxExecFrame stderr", schema: SandboxExecFrame, example: execFrames.stderr, fixed: ["type"] },
  {
    name: "SandboxExecFrame exit",
    schema: SandboxExecFrame,
    example: execFrames.exit,
    fixed: ["type"],
    whole: ["code"],
  },
];
