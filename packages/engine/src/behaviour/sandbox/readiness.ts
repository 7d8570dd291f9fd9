import { randomUUID } from "node:crypto";
import { sleep } from "@holdfast/std";
import type { Runtime } from "../../runtime/types.ts";
import type { Execs } from "../exec/execs.ts";
import type { SandboxRecord } from "./records.ts";

/** Repeats the readiness probe until it succeeds; rejects when the signal aborts. Returns seconds since 1970. */
export async function waitUntilReady(
  record: SandboxRecord,
  parts: { execs: Execs; runtime: Runtime },
  signal: AbortSignal,
): Promise<number> {
  const { probe } = record.spec;
  if (!probe) return record.startedAt ?? Date.now() / 1000;
  for (;;) {
    signal.throwIfAborted();
    const execId = `probe-${randomUUID()}`;
    const args = "argv" in probe ? probe.argv : ["cat", "/proc/net/tcp", "/proc/net/tcp6"];
    const exit = await parts.execs.run(record, { execId, args, signal });
    const done = "code" in exit && exit.code === 0;
    if ("argv" in probe ? done : await listens(record.id, execId, { port: probe.tcpPort, ...parts, signal })) {
      return Date.now() / 1000;
    }
    await sleep(probe.intervalMs, signal);
  }
}

/** Looks for a listening socket (state 0A) on the port in the kernel's tables. */
async function listens(
  sandboxId: string,
  execId: string,
  { port, runtime, signal }: { port: number; runtime: Runtime; signal: AbortSignal },
): Promise<boolean> {
  const chunks: Uint8Array[] = [];
  const target = { sandboxId, execId, fd: 1 as const, offset: 0 };
  for await (const chunk of runtime.readOutput(target, { signal })) chunks.push(chunk);
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  return new RegExp(`^\\s*\\d+: [0-9A-F]+:${wanted} \\S+ 0A `, "m").test(Buffer.concat(chunks).toString("latin1"));
}
