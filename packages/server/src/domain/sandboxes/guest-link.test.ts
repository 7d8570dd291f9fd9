import { encodeFrame, FrameDecoder, type GuestMessage, type GuestRequest } from "@holdfast/guest";
import { BoundedQueue } from "@holdfast/std";
import { expect, test } from "vitest";
import type { RunningExec, SandboxHandle } from "../../ports/sandbox-provider.ts";
import { GuestLink, LinkLostError } from "./guest-link.ts";

/** The exec of a link, each of whose steps the test lets through or breaks. */
class BrokenExec implements RunningExec {
  readonly #out = new BoundedQueue<Uint8Array>(100);
  readonly stderr: AsyncIterable<Uint8Array> = none();
  readonly #decoder = new FrameDecoder<GuestRequest>();
  readonly asked: GuestRequest[] = [];
  /** What becomes of a write; undefined: it is taken. */
  onWrite: (() => Promise<void>) | undefined;

  say(message: GuestMessage): void {
    this.#out.push(encodeFrame(message));
  }

  readonly stdout: AsyncIterable<Uint8Array> = this.#out;

  endOutput(error?: Error): void {
    if (error === undefined) this.#out.end();
    else this.#out.fail(error);
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.onWrite !== undefined) return await this.onWrite();
    for (const { header } of this.#decoder.push(bytes)) this.asked.push(header);
  }

  async closeStdin(): Promise<void> {}

  async wait(): Promise<number> {
    return 0;
  }
}

async function* none(): AsyncGenerator<Uint8Array> {}

async function opened() {
  const exec = new BrokenExec();
  const handle = { exec: async () => exec } as unknown as SandboxHandle;
  exec.say({ type: "hello", version: 1, pid: 1, processes: [] });
  return { exec, link: await GuestLink.open(handle, new AbortController().signal) };
}

const signal = () => AbortSignal.timeout(20_000);
/** Time in which a rejection that nobody handles would be told: the test runner fails the run by it. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));
const hang = () => new Promise<void>(() => {});
const refuse = () => Promise.reject(new Error("14 UNAVAILABLE: no connection"));

/** The ways in which a link goes, while a request is being written or its answer awaited. */
const deaths: Record<string, (exec: BrokenExec, link: GuestLink) => void | Promise<void>> = {
  "the output ends": (exec) => exec.endOutput(),
  "the output breaks": (exec) => exec.endOutput(new Error("read ECONNRESET")),
  "it is closed": (_exec, link) => link[Symbol.asyncDispose](),
};

for (const [death, die] of Object.entries(deaths))
  test.each([
    ["is written", hang],
    ["is answered", undefined],
  ])(`${death} while a request %s: that is a lost link, and nobody's unhandled rejection`, async (_when, onWrite) => {
    const { exec, link } = await opened();
    exec.onWrite = onWrite;
    const call = link.call({ type: "ping" }, { signal: signal() });
    call.catch(() => undefined);
    const second = link.call({ type: "ping" }, { signal: signal() });
    second.catch(() => undefined);
    await settle();
    await die(exec, link);
    await settle();
    expect(link.isLost).toBe(true);
    exec.onWrite = refuse;
    await settle();
    if (onWrite === undefined) {
      await expect(call).rejects.toBeInstanceOf(LinkLostError);
      await expect(second).rejects.toBeInstanceOf(LinkLostError);
    }
    await expect(link.call({ type: "ping" }, { signal: signal() })).rejects.toBeInstanceOf(LinkLostError);
  });

test("a write that hangs with its link lost ends with the link, not with its deadline", async () => {
  const { exec, link } = await opened();
  exec.onWrite = hang;
  const call = link.call({ type: "ping" }, { signal: signal() });
  const started = performance.now();
  exec.endOutput();
  await expect(call).rejects.toBeInstanceOf(LinkLostError);
  expect(performance.now() - started).toBeLessThan(5_000);
});

test("a write that fails is a lost link, though its output is still open", async () => {
  const { exec, link } = await opened();
  const waiting = link.call({ type: "ping" }, { signal: signal() });
  waiting.catch(() => undefined);
  await settle();
  exec.onWrite = refuse;
  await expect(link.call({ type: "ping" }, { signal: signal() })).rejects.toThrow(/a write failed: 14 UNAVAILABLE/);
  expect(link.isLost).toBe(true);
  expect(link.lost.reason).toBeInstanceOf(LinkLostError);
  await expect(waiting).rejects.toBeInstanceOf(LinkLostError);
});

test("what is told without waiting loses the link as well", async () => {
  const { exec, link } = await opened();
  exec.onWrite = refuse;
  link.tell({ type: "ping" });
  await expect.poll(() => link.isLost).toBe(true);
});
