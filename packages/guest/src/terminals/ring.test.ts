import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Ring } from "./ring.ts";

function place(): string {
  const folder = mkdtempSync(join(tmpdir(), "ring-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "ring");
}

function readAll(ring: Ring, from: number): Buffer {
  const parts: Buffer[] = [];
  const chunk = new Uint8Array(7);
  for (let at = from; ; ) {
    const size = ring.read(at, chunk);
    if (size === 0) return Buffer.concat(parts);
    parts.push(Buffer.from(chunk.subarray(0, size)));
    at += size;
  }
}

/** Numbers that look random and are the same in each run. */
function* dice(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state;
  }
}

test("whatever is appended and however it is opened again, the last bytes are there by their offsets", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const roll = dice(seed);
    const path = place();
    const size = 1 + (roll.next().value % 40);
    let ring = Ring.create(path, size);
    let all = Buffer.alloc(0);
    for (let step = 0; step < 20; step++) {
      const more = Buffer.from(Array.from({ length: roll.next().value % 60 }, () => roll.next().value >>> 24));
      ring.append(more);
      all = Buffer.concat([all, more]);
      if (roll.next().value >>> 31 === 1) {
        ring.close();
        ring = new Ring(path);
      }
      expect([ring.start, ring.end], `seed ${seed}`).toEqual([Math.max(0, all.length - size), all.length]);
      const from = ring.start + (roll.next().value % (ring.end - ring.start + 1));
      expect(readAll(ring, from).equals(all.subarray(from)), `seed ${seed}`).toBe(true);
    }
    ring.close();
  }
});
