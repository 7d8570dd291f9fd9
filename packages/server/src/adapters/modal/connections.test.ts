import { createRequire } from "node:module";
import { expect, test, vi } from "vitest";
import { createModalClient } from "../../config/modal-env.ts";
import { tuneConnections } from "./connections.ts";

const logger = { debug: () => undefined, info: () => undefined, warn: vi.fn(), error: () => undefined };

test("every connection of the SDK is tuned; this version of gRPC keeps them where they are looked for", async () => {
  tuneConnections(logger);
  tuneConnections(logger);
  expect(logger.warn).not.toHaveBeenCalled();
  const client = createModalClient({ serverUrl: "http://127.0.0.1:1", tokenId: "x", tokenSecret: "x", logger });
  await expect(client.apps.fromName("app")).rejects.toThrow(/UNAVAILABLE|ECONNREFUSED/);
  const { getSubchannelPool } = createRequire(import.meta.url)("@grpc/grpc-js/build/src/subchannel-pool.js") as {
    getSubchannelPool(shared: boolean): { pool: Record<string, { channelArguments: Record<string, unknown> }[]> };
  };
  const all = Object.values(getSubchannelPool(true).pool).flat();
  expect(all.map(({ channelArguments }) => channelArguments)).toMatchObject([
    { "grpc.keepalive_time_ms": 2_000, "grpc.keepalive_timeout_ms": 3_000, "grpc.max_reconnect_backoff_ms": 1_000 },
  ]);
});
