import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type EndedExec, ExecShelf, mostKept } from "./exec-shelf.ts";

const retentionMs = 5_000;

describe("ExecShelf", () => {
  let forgotten: string[];
  let shelf: ExecShelf;
  beforeEach(() => {
    vi.useFakeTimers();
    forgotten = [];
    shelf = new ExecShelf({ retentionMs: () => retentionMs, forget: (execId) => forgotten.push(execId) });
  });
  afterEach(() => {
    shelf.clear();
    vi.useRealTimers();
  });

  const ended = (): EndedExec => ({ attach: () => 0, acknowledge: () => undefined, forget: vi.fn() });
  const add = (...execIds: string[]) => {
    for (const execId of execIds) shelf.add(execId, ended());
  };

  it("forgets an exec so long after its exit was read, and keeps one that nobody read", () => {
    add("read", "unread");
    const kept = shelf.get("read");
    shelf.exitRead("read");
    vi.advanceTimersByTime(retentionMs - 1);
    expect(forgotten).toEqual([]);
    vi.advanceTimersByTime(200);
    expect(forgotten).toEqual(["read"]);
    expect(kept?.forget).toHaveBeenCalledOnce();
    expect([shelf.get("read"), shelf.size]).toEqual([undefined, 1]);
    vi.advanceTimersByTime(1_000 * retentionMs);
    expect(forgotten).toEqual(["read"]);
  });

  it("keeps an exec as long as its client is at it", () => {
    add("slow");
    shelf.exitRead("slow");
    for (let n = 0; n < 10; n++) {
      vi.advanceTimersByTime(retentionMs / 2);
      shelf.touch("slow");
    }
    expect(forgotten).toEqual([]);
    vi.advanceTimersByTime(2 * retentionMs);
    expect(forgotten).toEqual(["slow"]);
  });

  it("forgets each at its time", () => {
    add("first");
    shelf.exitRead("first");
    vi.advanceTimersByTime(2_000);
    add("second");
    shelf.exitRead("second");
    vi.advanceTimersByTime(3_200);
    expect(forgotten).toEqual(["first"]);
    vi.advanceTimersByTime(2_000);
    expect(forgotten).toEqual(["first", "second"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is not asked about what it does not know", () => {
    shelf.exitRead("unknown");
    shelf.touch("unknown");
    vi.advanceTimersByTime(2 * retentionMs);
    expect(forgotten).toEqual([]);
  });

  it("keeps a bounded number: the read ones go first, then the oldest", () => {
    const ids = Array.from({ length: mostKept }, (_, n) => `e${n}`);
    add(...ids);
    vi.advanceTimersByTime(61_000);
    shelf.exitRead("e700");
    add("new-1");
    expect(forgotten).toEqual(["e700"]);
    add("new-2", "new-3");
    expect(forgotten).toEqual(["e700", "e0", "e1"]);
    expect(shelf.size).toBe(mostKept);
  });

  it("leaves time to repeat a start before it forgets, up to a number", () => {
    for (let n = 0; n < 5 * mostKept; n++) add(`e${n}`);
    expect(shelf.size).toBe(4 * mostKept);
    expect(shelf.get(`e${5 * mostKept - 1}`)).toBeDefined();
  });

  it("waits for a retention that is longer than a timer can be", () => {
    const forget = vi.fn();
    const long = new ExecShelf({ retentionMs: () => 40 * 86_400_000, forget });
    long.add("e", ended());
    long.exitRead("e");
    vi.advanceTimersByTime(39 * 86_400_000);
    expect(forget).not.toHaveBeenCalled();
    vi.advanceTimersByTime(2 * 86_400_000);
    expect(forget).toHaveBeenCalledOnce();
  });

  it("lets go of everything with its sandbox", () => {
    add("a", "b");
    shelf.exitRead("a");
    shelf.clear();
    expect([shelf.size, vi.getTimerCount(), forgotten]).toEqual([0, 0, []]);
  });
});
