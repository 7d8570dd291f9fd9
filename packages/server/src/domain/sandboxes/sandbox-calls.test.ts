import { expect, test, vi } from "vitest";
import { SandboxCalls, type SandboxCallsDeps } from "./sandbox-calls.ts";

const row = { id: "wsp_1", account_id: "acc_1", name: "w", files_volume: "f", state_volume: "s", created_at: 0 };

/** A workspace with a sandbox, and a save that ends when the test says so. */
function rig(options: { saveMs?: number } = {}) {
  const save = Promise.withResolvers<void>();
  const order: string[] = [];
  const handlers = new Map<string, (ask: Record<string, unknown>) => Promise<unknown>>();
  const query = { selectAll: () => query, where: () => query, executeTakeFirst: async () => row };
  const warn = vi.fn();
  const deps = {
    db: { selectFrom: () => query },
    dispatcher: {
      handle: (op: string, handler: (ask: Record<string, unknown>) => Promise<unknown>) => handlers.set(op, handler),
      dispatch: async (ask: { op: string }) => ({ done: true, result: await handlers.get(ask.op)?.(ask) }),
    },
    sandboxes: {
      adopt: async () => ({ rowId: "sbx_1" }),
      stopOf: async () => {
        order.push("stopped");
        return "sb-1";
      },
    },
    logger: { warn },
    settled: () => save.promise.then(() => order.push("saved")),
    ...options,
  } as unknown as SandboxCallsDeps;
  const calls = new SandboxCalls(deps);
  const stop = (rowId?: string) => calls.stopOf({ id: row.id } as Parameters<SandboxCalls["stopOf"]>[0], rowId);
  return { stop, save, order, warn };
}

test("a stop lets the save that runs end first", async () => {
  const { stop, save, order } = rig();
  const stopping = stop("sbx_1");
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual([]);
  save.resolve();
  expect(await stopping).toBe("sb-1");
  expect(order).toEqual(["saved", "stopped"]);
});

test("a stop does not wait for ever, and says what it cut", async () => {
  const { stop, order, warn } = rig({ saveMs: 20 });
  expect(await stop()).toBe("sb-1");
  expect(order).toEqual(["stopped"]);
  expect(warn).toHaveBeenCalledOnce();
});

test("a stop goes on when the save fails, and another sandbox's save is not waited for", async () => {
  const failed = rig();
  failed.save.reject(new Error("no room"));
  expect(await failed.stop()).toBe("sb-1");
  const other = rig();
  expect(await other.stop("sbx_of_another_time")).toBeUndefined();
  expect(other.order).toEqual([]);
});
