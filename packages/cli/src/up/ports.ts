import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Ready, Service } from "./child.ts";
import { writePrivateFile } from "./secrets.ts";

type Ports = Record<string, Ready>;

const fileOf = (runDir: string) => join(runDir, "ports.json");

/**
 * On which ports the services listened last. Sandboxes that outlive a restart look for gateway and storage there, and
 * must not meet another program of ours on a port that was a neighbour's.
 */
export function rememberedPorts(runDir: string): Ports {
  try {
    return JSON.parse(readFileSync(fileOf(runDir), "utf8")) as Ports;
  } catch {
    // The first start; or a file that a full disk cut short: then they are chosen anew.
    return {};
  }
}

export function rememberPorts(runDir: string, services: readonly Service[]): void {
  const ports: Ports = {};
  for (const { spec, ready } of services) {
    if (ready === undefined) continue;
    const { port, adminPort } = ready;
    ports[spec.name] = { ready: true, port, ...(adminPort === undefined ? {} : { adminPort }) };
  }
  try {
    writePrivateFile(fileOf(runDir), JSON.stringify(ports));
  } catch {
    // A full disk: the next start chooses others, and turns that run then may have to be sent again.
  }
}
