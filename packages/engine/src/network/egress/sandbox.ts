import type { Connection } from "./connection.ts";
import { type CompiledPolicy, compilePolicy } from "./policy.ts";
import type { Refusal, SandboxRule, Service } from "./protocol.ts";

const reportsPerSecond = 20;

/** What egress knows of one sandbox. */
export interface Sandbox {
  readonly id: string;
  readonly address: string;
  policy: CompiledPolicy;
  readonly owner: string | undefined;
  readonly connections: Set<Connection>;
  /** DNS questions being answered. */
  questions: number;
}

/** Everything that decisions are made from; one per egress. */
export interface World {
  readonly byAddress: Map<string, Sandbox>;
  services: Service[];
  resolvConfPath: string;
  isHostAddress: (address: string) => boolean;
  report: (sandbox: Sandbox | undefined, destination: string, reason: string) => void;
}

export function createWorld(options: {
  isHostAddress: (address: string) => boolean;
  onRefusal: (refusal: Refusal) => void;
}): World {
  return {
    byAddress: new Map(),
    services: [],
    resolvConfPath: "/etc/resolv.conf",
    isHostAddress: options.isHostAddress,
    report: reporter(options.onRefusal),
  };
}

/** Adds a sandbox or gives it another policy; closes what that no longer allows. */
export function putSandbox(world: World, rule: SandboxRule): void {
  const policy = compilePolicy(rule.policy);
  const known = world.byAddress.get(rule.address);
  if (known !== undefined && known.id !== rule.id) removeSandbox(world, known.id);
  const kept = known?.id === rule.id && known.owner === rule.owner ? known : undefined;
  if (kept === undefined) {
    removeSandbox(world, rule.id);
    const { id, address, owner } = rule;
    world.byAddress.set(address, { id, address, policy, owner, connections: new Set(), questions: 0 });
    return;
  }
  kept.policy = policy;
  recheck(world, kept);
}

/** Closes every connection that policy or services no longer allow. */
export function recheck(world: World, sandbox: Sandbox): void {
  for (const connection of [...sandbox.connections]) {
    if (connection.stillAllowed(sandbox.policy, world.services)) continue;
    world.report(sandbox, connection.destination, "policy_changed");
    connection.reset();
  }
}

export function removeSandbox(world: World, id: string): void {
  for (const sandbox of world.byAddress.values()) {
    if (sandbox.id !== id) continue;
    world.byAddress.delete(sandbox.address);
    for (const connection of [...sandbox.connections]) connection.reset();
  }
}

/** Passes on a bounded number of refusals per sandbox and second, and counts the rest. */
function reporter(onRefusal: (refusal: Refusal) => void): World["report"] {
  const windows = new Map<string, { startMs: number; reported: number; suppressed: number }>();
  return (sandbox, destination, reason) => {
    const key = sandbox?.id ?? "";
    const now = performance.now();
    let window = windows.get(key);
    if (window === undefined || now - window.startMs > 1_000) {
      if (windows.size > 10_000) windows.clear();
      window = { startMs: now, reported: 0, suppressed: window?.suppressed ?? 0 };
      windows.set(key, window);
    }
    if (window.reported >= reportsPerSecond) {
      window.suppressed += 1;
      return;
    }
    window.reported += 1;
    onRefusal({
      destination,
      reason,
      ...(sandbox === undefined ? {} : { sandboxId: sandbox.id }),
      ...(window.suppressed === 0 ? {} : { suppressed: window.suppressed }),
    });
    window.suppressed = 0;
  };
}
