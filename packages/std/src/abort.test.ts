import { expect, test } from "vitest";
import { DeadlineError, isAbort, pause, sleep, waitFor, withDeadline } from "./abort.ts";

test("sleep rejects with the reason when the signal aborts", async () => {
  const controller = new AbortController();
  const sleeping = sleep(60_000, controller.signal);
  controller.abort(new Error("enough"));
  await expect(sleeping).rejects.toThrow("enough");
  await expect(sleep(1, controller.signal)).rejects.toThrow("enough");
});

test("withDeadline gives up on work that ignores its signal", async () => {
  const never = withDeadline(() => new Promise<void>(() => undefined), { what: "waiting", timeoutMs: 5 });
  await expect(never).rejects.toThrow(new DeadlineError("waiting", 5));
});

test("withDeadline passes a result, an error and an outer abort through", async () => {
  const options = { what: "work", timeoutMs: 10_000 };
  await expect(withDeadline(async () => 42, options)).resolves.toBe(42);
  await expect(withDeadline(() => Promise.reject(new Error("broken")), options)).rejects.toThrow("broken");
  const controller = new AbortController();
  const work = withDeadline((signal) => sleep(60_000, signal), { ...options, signal: controller.signal });
  controller.abort();
  const error = await work.catch((reason: unknown) => reason);
  expect(isAbort(error, controller.signal)).toBe(true);
});

test("pause says whether its time is over, or its signal came", async () => {
  const controller = new AbortController();
  expect(await pause(1, controller.signal)).toBe(true);
  const pausing = pause(60_000, controller.signal);
  controller.abort(new Error("enough"));
  expect(await pausing).toBe(false);
  expect(await pause(1, controller.signal)).toBe(false);
});

test("waitFor gives what the promise gives, or the signal's reason, whichever comes first", async () => {
  const controller = new AbortController();
  await expect(waitFor(Promise.resolve(42), controller.signal)).resolves.toBe(42);
  await expect(waitFor(Promise.reject(new Error("broken")), controller.signal)).rejects.toThrow("broken");
  const late = Promise.withResolvers<number>();
  const waiting = waitFor(late.promise, controller.signal);
  controller.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  // It is nobody's any more: a handler that lacked here would fail the run.
  late.reject(new Error("too late"));
  await expect(waitFor(Promise.reject(new Error("nobody's")), controller.signal)).rejects.toThrow("enough");
});
