import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DeadlineError, isAbort, pause, sleep, waitFor, withDeadline } from "./abort.ts";

/** An unhandled rejection anywhere in these tests fails the run by itself: Vitest counts it as an error. */
const listeners = (signal: AbortSignal) => getEventListeners(signal, "abort").length;
const never = () => new Promise<never>(() => undefined);
const broken = () => Promise.reject(new Error("broken"));
const throwing = () => {
  throw new Error("thrown");
};
const deadline = { what: "work", timeoutMs: 1_000 };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("nothing is left on the signal, and no timer", () => {
  it.each<[string, (signal: AbortSignal) => Promise<unknown>]>([
    ["a sleep that is over", (signal) => sleep(10, signal)],
    ["a pause that is over", (signal) => pause(10, signal)],
    ["a wait for what came", (signal) => waitFor(Promise.resolve(1), signal)],
    ["a wait for what failed", (signal) => waitFor(broken(), signal).catch(() => undefined)],
    ["work in time", (signal) => withDeadline(async () => 1, { ...deadline, signal })],
    ["work that failed", (signal) => withDeadline(broken, { ...deadline, signal }).catch(() => undefined)],
    ["work that threw at once", (signal) => withDeadline(throwing, { ...deadline, signal }).catch(() => undefined)],
    ["work that was too late", (signal) => withDeadline(never, { ...deadline, signal }).catch(() => undefined)],
  ])("after %s", async (_what, wait) => {
    const { signal } = new AbortController();
    const waiting = wait(signal);
    await vi.advanceTimersByTimeAsync(2_000);
    await waiting;
    expect([listeners(signal), vi.getTimerCount()]).toEqual([0, 0]);
  });

  it.each<[string, (signal: AbortSignal) => Promise<unknown>]>([
    ["a sleep", (signal) => sleep(10, signal)],
    ["a wait", (signal) => waitFor(never(), signal)],
    ["work that heeds its signal", (signal) => withDeadline((inner) => sleep(500, inner), { ...deadline, signal })],
    ["work that does not", (signal) => withDeadline(never, { ...deadline, signal })],
  ])("after %s whose signal aborted, before or meanwhile; its reason is thrown as it is", async (_what, wait) => {
    for (const isBefore of [true, false]) {
      const controller = new AbortController();
      const reason = { not: "an error" };
      if (isBefore) controller.abort(reason);
      const waiting = wait(controller.signal);
      if (!isBefore) controller.abort(reason);
      await expect(waiting).rejects.toBe(reason);
      expect([listeners(controller.signal), vi.getTimerCount()]).toEqual([0, 0]);
    }
  });

  it("after a pause whose signal aborted, which is no error", async () => {
    const controller = new AbortController();
    const pausing = pause(10, controller.signal);
    controller.abort(new Error("enough"));
    expect(await pausing).toBe(false);
    expect([listeners(controller.signal), vi.getTimerCount()]).toEqual([0, 0]);
  });

  it("while a thousand wait on one signal, each takes its own away", async () => {
    const { signal } = new AbortController();
    const waits = Array.from({ length: 1_000 }, (_, n) => sleep(n, signal));
    expect(listeners(signal)).toBe(1_000);
    await vi.advanceTimersByTimeAsync(499);
    expect(listeners(signal)).toBe(500);
    await vi.advanceTimersByTimeAsync(500);
    await Promise.all(waits);
    expect(listeners(signal)).toBe(0);
  });
});

describe("withDeadline", () => {
  it("aborts its work's signal with the same error that it throws, and says how long that was", async () => {
    let inner: AbortSignal | undefined;
    const working = withDeadline(
      (signal) => {
        inner = signal;
        return never();
      },
      { what: "saving", timeoutMs: 1_000 },
    ).catch((reason: unknown) => reason);
    await vi.advanceTimersByTimeAsync(999);
    expect(inner?.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    const error = await working;
    expect(error).toBeInstanceOf(DeadlineError);
    expect(error).toMatchObject({ name: "TimeoutError", timeoutMs: 1_000, message: "saving took longer than 1000 ms" });
    expect(inner?.reason).toBe(error);
  });

  it("does not abort its work's signal after the work: it may live on in what the work made", async () => {
    const controller = new AbortController();
    const inner = await withDeadline(async (signal) => signal, { ...deadline, signal: controller.signal });
    await vi.advanceTimersByTimeAsync(5_000);
    controller.abort();
    expect(inner.aborted).toBe(false);
  });

  it("lets go of work that fails after its end, whichever end that was", async () => {
    const controller = new AbortController();
    const [late, later] = [Promise.withResolvers<never>(), Promise.withResolvers<never>()];
    const timedOut = expect(withDeadline(() => late.promise, deadline)).rejects.toThrow(DeadlineError);
    const options = { ...deadline, signal: controller.signal };
    const aborted = expect(withDeadline(() => later.promise, options)).rejects.toThrow("enough");
    controller.abort(new Error("enough"));
    await vi.advanceTimersByTimeAsync(1_000);
    await Promise.all([timedOut, aborted]);
    late.reject(new Error("too late"));
    later.reject(new Error("too late"));
    await vi.advanceTimersByTimeAsync(1);
  });

  it("tells the outer end from its own: what comes first counts", async () => {
    const controller = new AbortController();
    const options = { ...deadline, signal: controller.signal };
    const early = withDeadline(never, options).catch((reason: unknown) => reason);
    await vi.advanceTimersByTimeAsync(1_000);
    controller.abort(new Error("after all"));
    expect(await early).toBeInstanceOf(DeadlineError);
    expect(isAbort(await early, controller.signal)).toBe(false);
  });

  it("inside another one ends with the shorter of the two", async () => {
    const nested = (outerMs: number, innerMs: number) =>
      withDeadline((signal) => withDeadline(never, { what: "inner", timeoutMs: innerMs, signal }), {
        what: "outer",
        timeoutMs: outerMs,
      }).catch((error: Error) => error.message);
    const both = Promise.all([nested(50, 100), nested(100, 50)]);
    await vi.advanceTimersByTimeAsync(100);
    expect(await both).toEqual(["outer took longer than 50 ms", "inner took longer than 50 ms"]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("waitFor", () => {
  it("prefers what was there when both come in one turn", async () => {
    const controller = new AbortController();
    const there = waitFor(Promise.resolve("there"), controller.signal);
    controller.abort(new Error("enough"));
    await expect(there).resolves.toBe("there");
  });

  it("with an aborted signal throws its reason, though the promise is there", async () => {
    await expect(waitFor(Promise.resolve(1), AbortSignal.abort("gone"))).rejects.toBe("gone");
  });
});

describe("isAbort", () => {
  it.each<[string, unknown, AbortSignal | undefined, boolean]>([
    ["an AbortError of anybody", new DOMException("stopped", "AbortError"), undefined, true],
    ["the reason of the signal, be it what it may", "gone", AbortSignal.abort("gone"), true],
    ["another error, though the signal aborted", new Error("broken"), AbortSignal.abort("gone"), false],
    ["the reason of somebody else's signal", "gone", AbortSignal.abort("other"), false],
    ["a deadline", new DeadlineError("work", 1), new AbortController().signal, false],
    ["a name without an error", { name: "AbortError" }, undefined, false],
    ["nothing, with a signal that did not abort", undefined, new AbortController().signal, false],
  ])("of %s", (_what, error, signal, expected) => {
    expect(isAbort(error, signal)).toBe(expected);
  });
});
