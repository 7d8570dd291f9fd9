import { writeSync } from "node:fs";
import { createRuntime, type ExecSpec, type SandboxSpec } from "../../src/runtime/index.ts";

/** An engine in a process of its own: makes what it is told, says so, and stays until it is killed. */
interface Job {
  stateDir: string;
  instance: string;
  sandbox: SandboxSpec;
  exec: ExecSpec;
}

const job = JSON.parse(process.argv[2] ?? "{}") as Job;
const signal = AbortSignal.timeout(20_000);
const log = { info: () => undefined, warn: () => undefined };
const runtime = await createRuntime({ stateDir: job.stateDir, instance: job.instance, log });
await runtime.create(job.sandbox, { signal });
await runtime.exec(job.exec, { signal });
writeSync(1, "made\n");
setInterval(() => undefined, 60_000);
