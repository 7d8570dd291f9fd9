import { createRequire } from "node:module";
import type { Logger } from "modal";

type ChannelOptions = Record<string, unknown>;

interface SubchannelPool {
  getOrCreateSubchannel(target: unknown, address: unknown, options: ChannelOptions, credentials: unknown): unknown;
}

/** A peer that came back is found again at once, not after the two minutes that gRPC waits in the end. */
const backoff = { "grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 1_000 };
/**
 * For an engine on this machine: a connection that a cut network left half open is noticed in five seconds. Modal's own
 * servers would take so many pings for an attack; there the SDK's 40 seconds stand.
 */
const keepalive = { "grpc.keepalive_time_ms": 2_000, "grpc.keepalive_timeout_ms": 3_000 };

const seen = new WeakSet<SubchannelPool>();

/**
 * The SDK takes no options for its connections, neither to the control plane nor to the sandboxes' command routers. All
 * of them come out of gRPC's one pool: there the options are amended. Does nothing twice.
 */
export function tuneConnections(logger: Pick<Logger, "warn">): void {
  const pool = sharedPool();
  if (pool === undefined) {
    logger.warn("this version of gRPC keeps its connections elsewhere: a cut network is noticed late");
    return;
  }
  if (seen.has(pool)) return;
  seen.add(pool);
  const original = pool.getOrCreateSubchannel.bind(pool);
  pool.getOrCreateSubchannel = (target, address, options, credentials) =>
    original(target, address, { ...options, ...backoff, ...(isLoopback(address) ? keepalive : {}) }, credentials);
}

/** As the SDK itself resolves it: another copy would be another pool. */
function sharedPool(): SubchannelPool | undefined {
  try {
    const own = createRequire(import.meta.url);
    const sdk = createRequire(own.resolve("modal"));
    const client = createRequire(sdk.resolve("nice-grpc"));
    const { getSubchannelPool } = client("@grpc/grpc-js/build/src/subchannel-pool.js") as {
      getSubchannelPool?: (shared: boolean) => SubchannelPool;
    };
    const pool = getSubchannelPool?.(true);
    return typeof pool?.getOrCreateSubchannel === "function" ? pool : undefined;
  } catch {
    // Moved or renamed: the caller says what that means.
    return undefined;
  }
}

function isLoopback(address: unknown): boolean {
  const host = (address as { host?: unknown } | null)?.host;
  return typeof host === "string" && (host.startsWith("127.") || host === "::1");
}
