/**
 * What the guest costs: its memory with 1, 5 and 20 processes, and how long a line takes from a program in a sandbox to
 * us, through the guest and, as control, straight through an exec. Run as root: `node bench/guest.ts`.
 */
import { loadavg } from "node:os";
import { encodeFrame, FrameDecoder, type GuestMessage, guestBundlePath } from "@holdfast/guest";
import { createTestKit, type TestKit } from "@holdfast/testkit";
import type { Sandbox } from "modal";

const lines = Number(process.argv[2] ?? 1_000);
// Beside the guest of the system itself, which would end what it does not know.
const runDir = "/run/holdfast-bench";
const clock = () => performance.timeOrigin + performance.now();

/** Prints the time, once in a while; as long as a line of Claude's. */
const program = `
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
await wait(500);
for (let n = 0; n < ${lines}; n++) {
  await wait(4);
  process.stdout.write(performance.timeOrigin + performance.now() + " " + "x".repeat(400) + "\\n");
}
`;
const argv = ["node", "--input-type=module", "-e", program];

function start(kit: TestKit, name: string, command: string[]) {
  const ids = ["--session", `sesn_${name}`, "--process", `prc_${name}`, "--generation", "1", "--cwd", "/"];
  return kit.exec(["node", guestBundlePath, "start", "--run-dir", runDir, ...ids, "--", ...command]);
}

async function guestMb(kit: TestKit): Promise<number> {
  const { stdout } = await kit.exec([
    "sh",
    "-c",
    `for p in $(pgrep -f 'daemon --run-dir ${runDir}'); do grep VmRSS /proc/$p/status; done`,
  ]);
  return Math.max(...[...stdout.matchAll(/(\d+) kB/g)].map((match) => Number(match[1]) / 1024));
}

/** Milliseconds of each line. */
class Delays {
  readonly values: number[] = [];
  #rest = "";

  take(bytes: Uint8Array): void {
    const now = clock();
    const parts = (this.#rest + Buffer.from(bytes).toString("latin1")).split("\n");
    this.#rest = parts.pop() ?? "";
    for (const line of parts) this.values.push(now - Number(line.slice(0, line.indexOf(" "))));
  }

  at(share: number): string {
    const sorted = this.values.toSorted((a, b) => a - b);
    return (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(2);
  }

  get row(): string {
    return `${this.at(0.5)} | ${this.at(0.95)} | ${this.values.length}`;
  }
}

async function straight(sandbox: Sandbox): Promise<Delays> {
  const delays = new Delays();
  const running = await sandbox.exec(argv, { mode: "binary" });
  for await (const chunk of running.stdout) delays.take(chunk);
  return delays;
}

async function throughGuest(kit: TestKit, sandbox: Sandbox): Promise<Delays> {
  const delays = new Delays();
  const attached = await sandbox.exec(["socat", "-", `UNIX-CONNECT:${runDir}/guest.sock`], { mode: "binary" });
  await start(kit, "line", argv);
  const writer = attached.stdin.getWriter();
  await writer.write(
    encodeFrame({ type: "subscribe", requestId: 1, processId: "prc_line", stdoutOffset: 0, stderrOffset: 0 }),
  );
  const decoder = new FrameDecoder<GuestMessage>();
  for await (const chunk of attached.stdout) {
    for (const { header, body } of decoder.push(chunk)) {
      if (header.type === "stdout") delays.take(body);
      else if (header.type === "exit") {
        await writer.close();
        return delays;
      }
    }
  }
  throw new Error("the guest closed the connection");
}

await using kit = await createTestKit();
await kit.turn("run `true`");
const sandbox = await kit.sandbox();
console.log(`load ${loadavg()[0]?.toFixed(1)}\n\n| processes | guest (MB) |\n| --- | --- |`);
let started = 0;
for (const count of [1, 5, 20]) {
  for (; started < count; started++) await start(kit, String(started), ["cat"]);
  console.log(`| ${count} | ${(await guestMb(kit)).toFixed(1)} |`);
}
console.log("\n| from a program in a sandbox to us | p50 (ms) | p95 (ms) | lines |\n| --- | --- | --- | --- |");
for (let round = 0; round < 2; round++) {
  console.log(`| straight through an exec (control) | ${(await straight(sandbox)).row} |`);
  if (round > 0) break;
  console.log(`| through the guest | ${(await throughGuest(kit, sandbox)).row} |`);
}
console.log(`\nload ${loadavg()[0]?.toFixed(1)}`);
