import { describe, expect, it } from "vitest";
import { type HeldOutput, type OutputBook, OutputLedger } from "./output-ledger.ts";

/** An output in pieces of ten bytes. */
class Pieces implements HeldOutput {
  heldBytes = 0;
  dropped = 0;
  readonly #book: OutputBook;

  constructor(book: OutputBook) {
    this.#book = book;
  }

  write(pieces: number): void {
    for (let n = 0; n < pieces; n++) {
      this.heldBytes += 10;
      this.#book.change(this, 10);
    }
  }

  dropOldest(): void {
    this.heldBytes -= 10;
    this.dropped += 10;
    this.#book.change(this, -10);
  }
}

function ledger(sandboxBytes: number, accountBytes: number): OutputLedger {
  const made = new OutputLedger();
  made.limits = { sandboxBytes, accountBytes, execRetentionMs: 1 };
  return made;
}

describe("OutputLedger", () => {
  it("lets the largest output of a sandbox pay for all", () => {
    const all = ledger(100, 1_000);
    const book = all.book("sb", 1);
    const [flood, small] = [new Pieces(book), new Pieces(book)];
    small.write(3);
    flood.write(50);
    expect([small.dropped, flood.heldBytes, all.bytesOf("sb")]).toEqual([0, 70, 100]);
    const second = new Pieces(book);
    second.write(50);
    expect([small.dropped, flood.heldBytes + second.heldBytes]).toEqual([0, 70]);
    expect(Math.abs(flood.heldBytes - second.heldBytes)).toBeLessThanOrEqual(10);
  });

  it("bounds all sandboxes of an account together, and touches no other account", () => {
    const all = ledger(100, 150);
    const floods = ["a", "b", "c"].map((id) => new Pieces(all.book(id, 1)));
    const other = new Pieces(all.book("d", 2));
    other.write(10);
    for (let round = 0; round < 10; round++) for (const flood of floods) flood.write(7);
    expect(floods.reduce((sum, { heldBytes }) => sum + heldBytes, 0)).toBe(150);
    expect([other.dropped, other.heldBytes]).toEqual([0, 100]);
  });

  it("keeps to a lower limit from the next write on", () => {
    const all = ledger(1_000, 1_000);
    const output = new Pieces(all.book("sb", 1));
    output.write(50);
    all.limits = { ...all.limits, sandboxBytes: 100 };
    output.write(1);
    expect(output.heldBytes).toBe(100);
  });

  it("remembers nothing of outputs that are gone", () => {
    const all = ledger(100, 100);
    for (let n = 0; n < 500; n++) {
      const output = new Pieces(all.book(`sb-${n}`, n % 7));
      output.write(3);
      while (output.heldBytes > 0) output.dropOldest();
    }
    expect(all.size).toEqual({ sandboxes: 0, accounts: 0 });
  });

  it.each([
    [1024 ** 3, 4 * 1024 ** 3, 4 * 1024 * 1024],
    [1024 ** 2, 4 * 1024 ** 3, 32 * 1024],
    [1024 ** 3, 1024 ** 2, 32 * 1024],
    [1, 1, 16 * 1024],
  ])("limits of %i and %i bytes make pieces of %i", (sandboxBytes, accountBytes, expected) => {
    expect(ledger(sandboxBytes, accountBytes).book("sb", 1).segmentBytes).toBe(expected);
  });
});
