import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readProcess, ticksNow } from "../src/daemon/process-table.ts";
import { type Client, isAlive, TestGuest, until } from "./_guest.ts";

/** Runs each line that it gets, and says "ran" after it. */
const shell = ["sh", "-c", 'while read line; do eval "$line"; echo ran; done'];
const hide = (name: string) => `(setsid sh -c 'echo ${name} $$; exec sleep 1000' &)`;

async function started(guest: TestGuest, { under = [] as string[], argv = shell } = {}): Promise<Client> {
  await guest.daemon({ under });
  const client = await guest.client();
  await client.started(argv);
  await client.subscribe("prc_1");
  return client;
}

async function pidOf(client: Client, name: string): Promise<number> {
  const line = new RegExp(`^${name} (\\d+)$`, "m");
  return await client.until(`the pid of ${name}`, () => {
    const found = line.exec(client.text("prc_1"));
    return found === null ? undefined : Number(found[1]);
  });
}

/** Clock ticks tell what came first. */
const laterThan = (pid: number) => until("the next tick", () => ticksNow() > Number(readProcess(pid)?.startTime));

const end = (client: Client, since: { lineId: string } | { ms: number }, generation = 1) =>
  client.request({ type: "end_orphans", processId: "prc_1", generation, since });

test("what left the process since a line is ended; older ones and its children stay", async () => {
  await using guest = new TestGuest();
  // As in a sandbox: root may not look into others' processes.
  const client = await started(guest, {
    under: ["setpriv", "--bounding-set", "-sys_ptrace", "--"],
    argv: ["runuser", "-u", "nobody", "--", ...shell],
  });
  await client.stdin(hide("before"), "l-1");
  const before = await pidOf(client, "before");
  await laterThan(before);
  await client.stdin(`${hide("after")}; sleep 1000 & echo child $!; setsid sleep 1000 & echo group $!`, "l-2");
  const [after, child, group] = [
    await pidOf(client, "after"),
    await pidOf(client, "child"),
    await pidOf(client, "group"),
  ];
  expect(await end(client, { lineId: "l-2" })).toMatchObject({ ok: true, ended: 1 });
  await until("its end", () => !isAlive(after));
  expect([before, child, group].every(isAlive)).toBe(true);
  expect(await end(client, { lineId: "never written" })).toMatchObject({ ok: false, code: "bad_request" });
  expect(await end(client, { lineId: "l-3" })).toMatchObject({ ok: true, ended: 0 });
  expect(await end(client, { ms: 60_000 })).toMatchObject({ ok: true, ended: 1 });
  await until("its end", () => !isAlive(before));
  expect([child, group].every(isAlive)).toBe(true);
  await client.request({ type: "signal", processId: "prc_1", generation: 1, signal: "SIGKILL", group: true });
});

test("what an older one starts is its own", async () => {
  await using guest = new TestGuest();
  const client = await started(guest);
  const fifo = `${guest.folder}/fifo`;
  const serves = `read line < ${fifo}; sleep 1000 & echo worker $!; wait`;
  await client.stdin(`mkfifo ${fifo}; (setsid sh -c 'echo server $$; ${serves}' &)`, "l-1");
  const server = await pidOf(client, "server");
  await laterThan(server);
  await client.stdin(`echo go > ${fifo}`, "l-2");
  const worker = await pidOf(client, "worker");
  expect(await end(client, { lineId: "l-2" })).toMatchObject({ ok: true, ended: 0 });
  expect([server, worker].every(isAlive)).toBe(true);
  await client.request({ type: "signal", processId: "prc_1", generation: 1, signal: "SIGKILL", group: true });
  await until("the end", () => ![server, worker].some(isAlive));
});

test("what cleared its environment and left everything else is found by its group", async () => {
  await using guest = new TestGuest();
  const groups = `${guest.folder}/group`;
  writeFileSync(groups, `${readFileSync("/etc/group", "utf8")}hf1:x:61001:\nhf2:x:61002:\n`);
  // A sandbox of its own, as far as users are concerned.
  const client = await started(guest, {
    under: ["unshare", "--mount", "sh", "-c", `mount --bind ${groups} /etc/group && exec "$@"`, "sh"],
    argv: ["runuser", "-u", "nobody", "--", ...shell],
  });
  const bare = (name: string) => `(setsid env -i sh -c 'echo ${name} $$; exec sleep 1000' &)`;
  await client.stdin(bare("first"), "l-1");
  const first = await pidOf(client, "first");
  await laterThan(first);
  await client.stdin(bare("second"), "l-2");
  const second = await pidOf(client, "second");
  expect(await end(client, { lineId: "l-2" })).toMatchObject({ ok: true, ended: 1 });
  await until("its end", () => !isAlive(second));
  expect(isAlive(first)).toBe(true);
  await client.request({ type: "signal", processId: "prc_1", generation: 1, signal: "SIGKILL", group: true });
  await until("the end of all", () => !isAlive(first));
});

test("a stale generation ends nothing", async () => {
  await using guest = new TestGuest();
  const client = await started(guest);
  await client.stdin(hide("left"), "l-1");
  const left = await pidOf(client, "left");
  await client.request({ type: "fence", sessionId: "sesn_1", generation: 3 });
  expect(await end(client, { lineId: "l-1" }, 2)).toMatchObject({
    ok: false,
    code: "stale_generation",
    generation: 3,
  });
  expect(isAlive(left)).toBe(true);
  expect(await end(client, { lineId: "l-1" }, 3)).toMatchObject({ ok: true, ended: 1 });
  await until("its end", () => !isAlive(left));
  await client.request({ type: "signal", processId: "prc_1", generation: 3, signal: "SIGKILL", group: true });
});
