import { execFileSync } from "node:child_process";
import { sleep } from "@holdfast/std";
import type { Kind } from "../kind.ts";

const ways = ["both ways", "to the engine", "from the engine"] as const;

export const network: Kind = {
  name: "network",
  what: "packets between server and engine are dropped by the network namespace in which both run, both ways or one, for 0.2 to 8 s",
  rounds: 30,
  turn: "goes_on",
  sessions: 1,
  ownNetwork: true,
  async strike({ installation, random, signal }) {
    const { serverUrl } = installation.optionsOf("server").modal as { serverUrl: string };
    const way = random.pick(ways);
    const forMs = random.between(200, 8_000);
    drop(new URL(serverUrl).port, way);
    try {
      await sleep(forMs, signal);
    } finally {
      nft("delete table inet torture");
    }
    return { kills: 1, detail: `${way} for ${forMs} ms` };
  },
};

/** What arrives is dropped, silently: the sender learns nothing. */
function drop(port: string, way: (typeof ways)[number]): void {
  nft("add table inet torture");
  nft("add chain inet torture arriving { type filter hook input priority 0; }");
  if (way !== "from the engine") nft(`add rule inet torture arriving tcp dport ${port} drop`);
  if (way !== "to the engine") nft(`add rule inet torture arriving tcp sport ${port} drop`);
}

function nft(command: string): void {
  execFileSync("nft", [command], { stdio: "pipe" });
}
