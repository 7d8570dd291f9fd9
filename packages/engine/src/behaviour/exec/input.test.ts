import { expect, test } from "vitest";
import type { Runtime } from "../../runtime/types.ts";
import type { SandboxRecord } from "../sandbox/records.ts";
import type { Sandboxes } from "../sandbox/sandboxes.ts";
import { createInput } from "./input.ts";

const limit = 1_000;

function rig() {
  const waiting: { settle: () => void; fail: (error: Error) => void }[] = [];
  const runtime = {
    writeStdin: () => new Promise<void>((settle, fail) => waiting.push({ settle, fail })),
  } as unknown as Runtime;
  const sandboxes = { idle: () => undefined } as unknown as Sandboxes;
  const input = createInput({ runtime, sandboxes }, limit);
  const write = (idOwner: string, bytes: number) => {
    const record = { id: `sb-${idOwner}`, spec: { idOwner } } as SandboxRecord;
    const written = input.write(
      { record, execId: "e", offset: 0, eof: false },
      new Uint8Array(bytes),
      new AbortController().signal,
    );
    written.catch(() => undefined);
    return written;
  };
  return { waiting, write };
}

test("one account's waiting input has a limit, which is no other's", async () => {
  const { waiting, write } = rig();
  const first = write("a", 600);
  await expect(write("a", 600)).rejects.toThrow(/600 bytes of input wait already .* limit is 1000/);
  const other = write("b", 600);
  const small = write("a", 400);
  await expect(write("a", 1)).rejects.toThrow(/1000 bytes/);
  for (const { settle } of waiting) settle();
  await Promise.all([first, other, small]);
  const again = write("a", 1_000);
  waiting.at(-1)?.settle();
  await again;
});

test("what is larger than the limit is taken alone, and a failed write waits no longer", async () => {
  const { waiting, write } = rig();
  const large = write("a", 5_000);
  await expect(write("a", 1)).rejects.toThrow(/5000 bytes/);
  waiting[0]?.fail(new Error("gone"));
  await expect(large).rejects.toThrow("gone");
  const next = write("a", 5_000);
  waiting[1]?.settle();
  await next;
});
