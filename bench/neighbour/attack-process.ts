import { setPriority } from "node:os";
import Anthropic from "@anthropic-ai/sdk";
import { Attacker, type Foothold } from "./attacker.ts";
import { attacks } from "./attacks.ts";

/**
 * A's clients: a process of their own, and one that yields to B's clients, as A's would be on a machine of their own.
 * Told over IPC what to do; says what it was told when it is over.
 */
export interface Order {
  attacks: string[];
  foothold: Foothold;
}

export interface Report {
  told: string[];
}

setPriority(5);
const stop = new AbortController();

process.on("message", (order: Order | "stop") => {
  if (order === "stop") stop.abort();
  else
    attack(order).then(
      (report) => process.send?.(report, () => process.disconnect()),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
});

async function attack({ attacks: names, foothold }: Order): Promise<Report> {
  const attacker = new Attacker(foothold, new Anthropic({ baseURL: foothold.url, apiKey: foothold.apiKey }));
  const chosen = attacks.filter(({ name }) => names.includes(name));
  await Promise.all(chosen.map(({ run }) => run(attacker, stop.signal)));
  return { told: [...attacker.told].map(([what, times]) => `${times} × ${what}`) };
}
