import { encodeFrame, FrameDecoder, type GuestMessage, type GuestRequest, Sealer } from "@holdfast/guest";
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
  readonly bodies: Uint8Array[] = [];
  /** What becomes of a write; undefined: it is taken. */
  onWrite: (() => Promise<void>) | undefined;

  say(message: GuestMessage, body?: Uint8Array): void {
    this.#out.push(encodeFrame(message, body));
  }

  readonly stdout: AsyncIterable<Uint8Array> = this.#out;

  endOutput(error?: Error): void {
    if (error === undefined) this.#out.end();
    else this.#out.fail(error);
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.onWrite !== undefined) return await this.onWrite();
    for (const { header, body } of this.#decoder.push(bytes)) {
      this.asked.push(header);
      this.bodies.push(body);
    }
  }

  async closeStdin(): Promise<void> {}

  async wait(): Promise<number> {
    return 0;
  }
}

async function* none(): AsyncGenerator<Uint8Array> {}

async function opened(more: { seals?: true } = {}) {
  const exec = new BrokenExec();
  const handle = { exec: async () => exec } as unknown as SandboxHandle;
  exec.say({ type: "hello", version: 1, pid: 1, processes: [], ...more });
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

test("a guest that can is given a key before anything else is asked, another one for each link", async () => {
  const keys: string[] = [];
  for (let n = 0; n < 2; n++) {
    const { exec, link } = await opened({ seals: true });
    await using _ = link;
    const call = link.call({ type: "fence", sessionId: "sesn_1", generation: 1 }, { signal: signal() });
    await expect.poll(() => exec.asked.map(({ type }) => type)).toEqual(["seal", "fence"]);
    const [key = new Uint8Array()] = exec.bodies;
    keys.push(Buffer.from(key).toString("hex"));
    const sealer = new Sealer(key);
    const [, fence] = exec.asked;
    for (const requestId of [exec.asked[0]?.requestId ?? 0, fence?.requestId ?? 0])
      exec.say({ type: "sealed" }, sealer.seal(encodeFrame({ type: "reply", requestId, ok: true, pid: 7 })));
    expect(await call).toMatchObject({ ok: true, pid: 7 });
  }
  expect(new Set(keys).size).toBe(2);
});

test("a guest of before is asked for no seal; what is sealed without a key, or with another, loses the link", async () => {
  const { exec, link } = await opened();
  const call = link.call({ type: "ping" }, { signal: signal() });
  await expect.poll(() => exec.asked.map(({ type }) => type)).toEqual(["ping"]);
  exec.say({ type: "reply", requestId: exec.asked[0]?.requestId ?? 0, ok: true });
  expect(await call).toMatchObject({ ok: true });
  exec.say({ type: "sealed" }, new Uint8Array(40));
  await expect.poll(() => link.isLost).toBe(true);

  const other = await opened({ seals: true });
  other.exec.say({ type: "sealed" }, new Sealer(new Uint8Array(32)).seal(encodeFrame({ type: "sealed" })));
  await expect.poll(() => other.link.isLost).toBe(true);
});
