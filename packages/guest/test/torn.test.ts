import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Client, isAlive, processOf, TestGuest, until } from "./_guest.ts";

const fault = join(import.meta.dirname, "_fault.mjs");
const script = 'while read -r line; do echo "got $line"; done; echo end; exit 5';

/** Processes of this guest's that run, by the marker in their environment. */
function marked(processId: string): number[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || !isAlive(Number(pid))) return [];
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
      return environment.includes(`HOLDFAST_PROCESS=${processId}`) ? [Number(pid)] : [];
    } catch {
      // Gone meanwhile.
      return [];
    }
  });
}

/** What a server does with one process; whatever fails on the way is what this is about. */
async function converse(client: Client, processId: string): Promise<void> {
  await client.started(["sh", "-c", script], { process: processId });
  await client.subscribe(processId);
  await client.stdin("one", "line_1", { process: processId });
  await client.stdin("one", "line_1", { process: processId });
  await client.stdin("two", "line_2", { process: processId });
  await client.waitText(processId, "got two\n");
  await client.request({ type: "fence", sessionId: "sesn_1", generation: 2 });
  await client.request({ type: "close_stdin", processId, generation: 2 });
  await client.waitFor("exit");
}

/** Runs until the fault strikes or all is done; false when it did not strike any more. */
async function strike(guest: TestGuest, at: number, processId: string): Promise<boolean> {
  const env = { FAULT_AT: String(at), FAULT_DIR: guest.runDir };
  const daemon = await guest.daemon({ node: ["--import", fault], env }).catch(() => undefined);
  if (daemon === undefined) return true;
  const client = await guest.client().catch(() => undefined);
  if (client !== undefined) await Promise.race([converse(client, processId), died(daemon)]).catch(() => undefined);
  const struck = existsSync(`${guest.runDir}-struck`);
  client?.close();
  daemon.kill("SIGKILL");
  await until("the daemon's end", () => daemon.signalCode !== null || daemon.exitCode !== null);
  return struck;
}

function died(daemon: { once(name: "exit", done: () => void): unknown }): Promise<never> {
  return new Promise((_resolve, reject) => daemon.once("exit", () => reject(new Error("the daemon died"))));
}

test("killed in the middle of every write: no process lost, no line doubled, the next daemon works", {
  timeout: 120_000,
}, async () => {
  let strikes = 0;
  for (let at = 1; at <= 60; at++) {
    const processId = `prc_cut${process.pid}_${at}`;
    await using guest = new TestGuest();
    const struck = await strike(guest, at, processId);
    await guest.daemon();
    // Whatever had been started is ended, and told of by who comes next.
    await until("nothing of it runs", () => marked(processId).length === 0);
    const client = await guest.client();
    const known = processOf(client, processId);
    if (known !== undefined) {
      expect(known.exit).not.toBeNull();
      await client.subscribe(processId);
      await client.waitFor("exit");
      expect("got one\ngot two\nend\n".startsWith(client.text(processId))).toBe(true);
      expect(await client.request({ type: "remove", processId, generation: 2 })).toMatchObject({ ok: true });
    }
    await client.started(["sh", "-c", script], { process: `${processId}_b`, generation: 3 });
    expect(readdirSync(join(guest.runDir, "spool"))).toEqual([`${processId}_b`]);
    if (!struck) break;
    strikes++;
  }
  expect(strikes).toBeGreaterThan(8);
  expect(strikes).toBeLessThan(60);
});
