import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { egressPid } from "../../src/network/egress-process.ts";
import { type Network, probeNetwork } from "../../src/network/index.ts";
import { allow, createNetworkBench, gateway, instance, type NetworkBench, portOf } from "./_bench.ts";
import { ip, outsideAddress, until } from "./_fake-host.ts";
import { echoServer, openLive } from "./_live.ts";

let bench: NetworkBench;
let network: Network | undefined;

beforeAll(async () => {
  bench = await createNetworkBench();
  bench.host.listenOutside(echoServer(), 7);
});
afterAll(() => bench[Symbol.dispose]());
beforeEach(() => bench.begin());
afterEach(async () => {
  await network?.destroyAll();
  network = undefined;
  bench.expectUntouched();
});

/** An engine of another process, for killing. */
async function otherEngine(): Promise<ChildProcess> {
  const program = fileURLToPath(new URL("./_engine.ts", import.meta.url));
  const child = spawn(process.execPath, [program, JSON.stringify(bench.options)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("exit", (code) => reject(new Error(`The other engine ended with ${code}.`)));
  });
  return child;
}

test("a connection outlives an engine that is disposed and one that is killed", async () => {
  const engine = await otherEngine();
  const killed = new Promise((resolve) => engine.once("exit", resolve));
  const namespacePath = `/run/netns/${ip("netns")
    .split("\n")
    .map((line) => line.split(" ")[0])
    .find((name) => name === `hf-${instance}-1`)}`;
  using live = openLive({ namespacePath }, `${outsideAddress}:7`, bench.host);
  live.say("one");
  expect(await live.hear()).toBe("echo one");
  engine.kill("SIGKILL");
  await killed;
  live.say("two");
  expect(await live.hear()).toBe("echo two");

  for (const word of ["three", "four"]) {
    network = await bench.open();
    expect(await network.list()).toEqual(["sb-1"]);
    live.say(word);
    expect(await live.hear()).toBe(`echo ${word}`);
    await network[Symbol.asyncDispose]();
    live.say("alone");
    expect(await live.hear()).toBe("echo alone");
  }

  network = await bench.open();
  expect((await network.attach("sb-1", { kind: "open" })).namespacePath).toBe(namespacePath);
  live.say("five");
  expect(await live.hear()).toBe("echo five");
  await network.setPolicy("sb-1", { kind: "blocked" });
  await live.closed;
});

test("an egress that is killed is replaced, and sandboxes have their network again", async () => {
  network = await bench.open();
  const inside = await network.attach("sb-1", allow([gateway]));
  const pid = egressPid(bench.options.stateDir);
  process.kill(Number(pid), "SIGKILL");
  await until(
    async () => (await bench.curl(inside, `http://${gateway}:4601/`)).stdout === `service ${gateway}:4601`,
    "the network to come back",
  );
  expect(egressPid(bench.options.stateDir)).not.toBe(pid);
  expect(bench.logged.some((line) => line.level === 50 && String(line.msg).startsWith("egress ended"))).toBe(true);
  await bench.expectRefused(inside, `http://${outsideAddress}/`, "not_in_allowlist");
});

test("a change that egress had not answered when it died is made all the same", async () => {
  network = await bench.open();
  const inside = await network.attach("sb-1", { kind: "blocked" });
  const pid = Number(egressPid(bench.options.stateDir));
  process.kill(pid, "SIGSTOP");
  const changed = network.setPolicy("sb-1", { kind: "open" });
  await new Promise(setImmediate);
  process.kill(pid, "SIGKILL");
  await changed;
  expect((await bench.curl(inside, `http://${outsideAddress}/`)).stdout).toBe(`outside ${outsideAddress}`);
});

test("an egress that died without an engine is replaced by the next one", async () => {
  network = await bench.open();
  const inside = await network.attach("sb-1", allow([gateway]));
  await network[Symbol.asyncDispose]();
  process.kill(Number(egressPid(bench.options.stateDir)), "SIGKILL");
  network = await bench.open();
  expect((await bench.curl(inside, `http://${gateway}:4601/`)).stdout).toBe(`service ${gateway}:4601`);
});

test("an egress that hangs is replaced", { timeout: 60_000 }, async () => {
  network = await bench.open();
  const inside = await network.attach("sb-1", allow([gateway]));
  await network[Symbol.asyncDispose]();
  process.kill(Number(egressPid(bench.options.stateDir)), "SIGSTOP");
  network = await bench.open();
  expect((await bench.curl(inside, `http://${gateway}:4601/`)).stdout).toBe(`service ${gateway}:4601`);
});

test("published services may move between starts, and keep their addresses inside", async () => {
  network = await bench.open();
  const inside = await network.attach("sb-1", allow(["*.holdfast.internal"]));
  await network[Symbol.asyncDispose]();
  const moved = createServer((socket) => socket.end("HTTP/1.0 200 OK\r\n\r\nmoved"));
  await new Promise<void>((resolve) => moved.listen(0, "127.0.0.1", resolve));
  const publishedServices = [
    { name: "new.holdfast.internal", port: 1, target: { host: "127.0.0.1", port: 1 } },
    { name: gateway, port: 4601, target: { host: "127.0.0.1", port: portOf(moved) } },
  ];
  network = await bench.open({ publishedServices });
  expect((await bench.curl(inside, `http://${gateway}:4601/`)).stdout).toBe("moved");
  const s3 = /(\S+) s3\.holdfast/.exec(inside.hosts)?.[1];
  await bench.expectNobody(inside, `http://${s3}:4603/`);
  moved.close();
});

test("what a crashed engine left half made is removed, what belongs to another instance is not", async () => {
  const other = await bench.open({ instance: "tother", stateDir: `${bench.host.dir}/other` });
  try {
    network = await bench.open({ poolSize: 0 });
    await network.attach("sb-1", { kind: "open" });
    await network[Symbol.asyncDispose]();
    ip("netns", "add", `hf-${instance}-77`);
    // What a namespace leaves when its mount is gone.
    writeFileSync(`/run/netns/hf-${instance}-78`, "");
    await other.attach("sb-9", { kind: "open" });
    network = await bench.open({ poolSize: 0 });
    const mine = readdirSync("/run/netns").filter((name) => name.startsWith(`hf-${instance}`));
    expect(mine.sort()).toEqual([`hf-${instance}`, `hf-${instance}-1`]);
    expect(await other.list()).toEqual(["sb-9"]);
    await network.destroyAll();
    expect(await other.list()).toEqual(["sb-9"]);
  } finally {
    await other.destroyAll();
  }
});

test("sandboxes whose namespace is gone are not listed, and get a new one", async () => {
  network = await bench.open();
  await network.attach("sb-1", { kind: "open" });
  await network[Symbol.asyncDispose]();
  ip("netns", "del", `hf-${instance}-1`);
  network = await bench.open();
  expect(await network.list()).toEqual([]);
  const inside = await network.attach("sb-1", { kind: "open" });
  expect((await bench.curl(inside, `http://${outsideAddress}/`)).stdout).toBe(`outside ${outsideAddress}`);
});

test("attach is idempotent, detach too, and destroyAll leaves nothing", async () => {
  network = await bench.open();
  const opened = network;
  const attached = await Promise.all([1, 2, 3].map(() => opened.attach("sb-1", { kind: "open" })));
  expect(new Set(attached.map(({ namespacePath }) => namespacePath)).size).toBe(1);
  const ids = Array.from({ length: 20 }, (_, index) => `sb-${index + 2}`);
  const others = await Promise.all(ids.map((id) => opened.attach(id, { kind: "blocked" })));
  expect(new Set(others.map(({ namespacePath }) => namespacePath)).size).toBe(20);
  await network.detach("sb-1");
  await network.detach("sb-1");
  await network.detach("sb-never");
  expect(existsSync(`${attached[0]?.namespacePath}`)).toBe(false);
  expect((await network.list()).sort()).toEqual(ids.sort());
  const pid = egressPid(bench.options.stateDir);
  await network.destroyAll();
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect(readdirSync(bench.options.stateDir)).toEqual([]);
  await network.destroyAll();
});

test("a state file that cannot be read is reported and does not stop the engine", async () => {
  network = await bench.open();
  await network.attach("sb-1", { kind: "open" });
  await network[Symbol.asyncDispose]();
  writeFileSync(`${bench.options.stateDir}/network.json`, "{");
  network = await bench.open();
  expect(await network.list()).toEqual([]);
  expect(bench.logged.some((line) => String(line.msg).includes("unreadable"))).toBe(true);
});

test("malformed policies, names and instances are refused with a reason", async () => {
  network = await bench.open();
  const opened = network;
  await expect(opened.attach("sb-1", allow([], ["10.0.0.0/33"]))).rejects.toThrow("10.0.0.0/33");
  await expect(opened.attach("sb-1", allow(["exa mple.com"]))).rejects.toThrow("exa mple.com");
  await expect(opened.setPolicy("sb-1", { kind: "open" })).rejects.toThrow("Attach it first");
  await expect(bench.open({ instance: "Too-Long-Name" })).rejects.toThrow("1 to 6 characters");
});

test("egress gives up its privileges once it listens", async () => {
  network = await bench.open();
  const status = readFileSync(`/proc/${egressPid(bench.options.stateDir)}/status`, "utf8");
  expect(/^Uid:\s+(\d+)\s+(\d+)\s+(\d+)/m.exec(status)?.slice(1)).toEqual(["61004", "61004", "61004"]);
  expect(/^CapEff:\s+(\S+)/m.exec(status)?.[1]).toBe("0000000000000000");
  expect(statSync(bench.options.stateDir).mode & 0o777).toBe(0o700);
});

test("the probe finds that it works here, and leaves nothing", async () => {
  const probe = await probeNetwork();
  expect(probe.checks.filter((check) => !check.ok)).toEqual([]);
  expect(probe.ok).toBe(true);
});
