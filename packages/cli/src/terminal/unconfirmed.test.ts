import { expect, test } from "vitest";
import { Unconfirmed } from "./unconfirmed.ts";

test("what is sent again after any loss makes up what was typed, each byte once for who counts offsets", () => {
  for (let seed = 1; seed <= 300; seed++) {
    let state = seed;
    const roll = (most: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state >>> 8) % most;
    };
    const typed: number[] = [];
    const terminal: number[] = [];
    const unconfirmed = new Unconfirmed();
    for (let step = 0; step < 40; step++) {
      const more = Array.from({ length: roll(20) }, () => roll(256));
      typed.push(...more);
      unconfirmed.add(Uint8Array.from(more));
      // A connection: some of what is sent arrives, some of what arrives is confirmed.
      for (const { offset, bytes } of unconfirmed.from(0, 1 + roll(9))) {
        if (roll(4) === 0) break;
        expect(offset).toBeLessThanOrEqual(terminal.length);
        terminal.push(...bytes.subarray(terminal.length - offset));
        if (roll(2) === 0) unconfirmed.confirm(offset + bytes.length);
      }
    }
    for (const { offset, bytes } of unconfirmed.from(0, 7)) terminal.push(...bytes.subarray(terminal.length - offset));
    expect(terminal, `seed ${seed}`).toEqual(typed);
    expect(unconfirmed.end).toBe(typed.length);
    unconfirmed.confirm(typed.length + 5);
    expect([unconfirmed.size, unconfirmed.end]).toEqual([0, typed.length]);
  }
});
