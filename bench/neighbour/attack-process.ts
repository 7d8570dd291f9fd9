import { setPriority } from "node:os";
import Anthropic from "@anthropic-ai/sdk";
import { Attacker, type Foothold } from "./attacker.ts";
import { attacks } from "./attacks.ts";

/**
 * A's clients: a process of their own, and one that yields to B's clients, as A's would be on a machine of their own.
 * Told over IPC what to do; says over it what it is told, as it is told.
 */
export interface Order {
  attacks: string[];
  foothold: Foothold;
}

setPriority(5);
const stop = new AbortController();

process.on("message", (order: Order | "stop") => {
  if (order === "stop") stop.abort();
  else {
    attack(order)
      .then(() => process.disconnect())
      .catch((error: unknown) => {
        console.error(error);
        process.exit(1);
      });
  }
});

async function attack({ attacks: names, foothold }: Order): Promise<void> {
  const client = new Anthropic({ baseURL: foothold.url, apiKey: foothold.apiKey });
  const attacker = new Attacker(foothold, { client, note: (what) => process.send?.(what) });
  const chosen = attacks.filter(({ name }) => names.includes(name));
  await Promise.all(chosen.map(({ run }) => run(attacker, stop.signal)));
}
