import { spawnSync } from "node:child_process";
import { sleep } from "@holdfast/std";
import type { Blow, Kind } from "../kind.ts";
import { isLink } from "../machine.ts";

export const connection: Kind = {
  name: "connection",
  what: "the exec that connects the server with the guest is killed in the sandbox, or the server's TCP connections to the engine are destroyed; up to three times in a row",
  rounds: 30,
  turn: "goes_on",
  sessions: 2,
  async strike(blow) {
    const times = blow.random.between(1, 3);
    const how = blow.random.pick([killExec, destroySockets]);
    let kills = 0;
    for (let time = 0; time < times; time++) {
      if (time > 0) await sleep(blow.random.between(0, 400), blow.signal);
      kills += how(blow);
    }
    return { kills, detail: `${how === killExec ? "exec killed" : "TCP connections destroyed"} ${times} ×` };
  },
};

function killExec({ installation }: Blow): number {
  const links = installation.processes().filter(isLink);
  for (const { pid } of links) tryKill(pid);
  return links.length;
}

function destroySockets({ installation }: Blow): number {
  const { serverUrl } = installation.optionsOf("server").modal as { serverUrl: string };
  const port = new URL(serverUrl).port;
  const run = spawnSync("ss", ["-K", "-t", "-H", "dst", "127.0.0.1", "dport", "=", port], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`ss -K failed: ${run.stderr}`);
  return run.stdout.split("\n").filter((line) => line !== "").length;
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
