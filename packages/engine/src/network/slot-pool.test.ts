import { expect, test } from "vitest";
import { assignServiceAddresses, sandboxAddress, slotOf } from "./names.ts";
import { SlotPool } from "./slot-pool.ts";

function pool(size: number, create: (slots: number[]) => Promise<void> = async () => {}) {
  let next = 1;
  const destroyed: number[] = [];
  const made = new SlotPool({
    size,
    allocate: () => next++,
    create,
    destroy: async (slots) => {
      destroyed.push(...slots);
    },
  });
  return { made, destroyed };
}

test("gives every taker a slot of its own, more at once than it keeps", async () => {
  const { made, destroyed } = pool(2);
  const slots = await Promise.all(Array.from({ length: 30 }, () => made.take()));
  expect(new Set(slots).size).toBe(30);
  await made[Symbol.asyncDispose]();
  expect(destroyed.every((slot) => !slots.includes(slot))).toBe(true);
  await expect(made.take()).rejects.toThrow("closed");
});

test("tells takers why none can be made, cleans up, and works again later", async () => {
  let broken = true;
  const { made, destroyed } = pool(1, async () => {
    if (broken) throw new Error("no veth");
  });
  await expect(Promise.all([made.take(), made.take()])).rejects.toThrow("no veth");
  expect(destroyed.length).toBeGreaterThan(0);
  broken = false;
  expect(await made.take()).toBeGreaterThan(0);
});

test("namespace names carry their slot, addresses are within our range", () => {
  expect(slotOf("ab", "hf-ab-17")).toBe(17);
  for (const other of ["hf-ab", "hf-abc-17", "hf-ab-017", "hf-ab-x", "hf-a-17"])
    expect(slotOf("ab", other)).toBeUndefined();
  expect([1, 255, 256, 65_000].map(sandboxAddress)).toEqual([
    "100.64.0.1",
    "100.64.0.255",
    "100.64.1.0",
    "100.64.253.232",
  ]);
});

test("service names keep their addresses when others come and go", () => {
  const first = assignServiceAddresses(["a", "b"], {});
  expect(first).toEqual({ a: "100.127.255.1", b: "100.127.255.2" });
  expect(assignServiceAddresses(["c", "b"], first)).toEqual({ ...first, c: "100.127.255.3" });
});
