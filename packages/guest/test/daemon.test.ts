import { spawn, spawnSync } from "node:child_process";
import { existsSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Client, isAlive, processOf, TestGuest, until } from "./_guest.ts";

const echo = ["sh", "-c", 'while read -r line; do echo "got $line"; done; echo end'];

test("start runs the command with its environment under a daemon of its own", async () => {
  await using guest = new TestGuest();
  const first = guest.run(
    [
      ...["start", "--run-dir", guest.runDir, "--session", "sesn_1", "--process", "prc_1", "--generation", "1"],
      ...["--cwd", "/tmp", "--", "sh", "-c", 'pwd; echo "$SECRET"; cat'],
    ],
    { env: { SECRET: "s3cret" } },
  );
  expect(first).toMatchObject({ code: 0, stderr: "" });
  const { pid } = JSON.parse(first.stdout) as { pid: number };
  const client = await guest.client();
  await client.subscribe("prc_1");
  await client.waitText("prc_1", "/tmp\ns3cret\n");
  // The same again is the same process; the daemon itself never sees a session's secrets.
  const again = guest.start({ session: "sesn_1", process: "prc_1" }, ["sh", "-c", "exit 9"]);
  expect(JSON.parse(again.stdout)).toEqual({ pid });
  expect(readFileSync(`/proc/${client.hello.pid}/environ`, "latin1")).not.toContain("s3cret");
  expect(readFileSync(`/proc/${pid}/environ`, "latin1")).toContain("SECRET=s3cret");
});

test("only root can reach socket, spool and fences", async () => {
  await using guest = new TestGuest();
  guest.start({ session: "sesn_1", process: "prc_1" }, ["sh", "-c", "echo private; cat"]);
  const mode = (path: string) => (statSync(join(guest.runDir, path)).mode & 0o777).toString(8);
  await until("the spool", () => existsSync(join(guest.runDir, "spool/prc_1/stdout.0")));
  expect(mode(".")).toBe("700");
  expect(mode("guest.sock")).toBe("600");
  expect(mode("spool/prc_1")).toBe("700");
  for (const file of readdirSync(join(guest.runDir, "spool/prc_1"))) expect(mode(`spool/prc_1/${file}`)).toBe("600");
  const asUser = (command: string) => spawnSync("runuser", ["-u", "nobody", "--", "sh", "-c", command]).status;
  expect(asUser(`ls ${guest.folder}/guest.mjs`)).toBe(0);
  expect(asUser(`ls ${guest.runDir}`)).not.toBe(0);
  expect(asUser(`cat ${guest.runDir}/spool/prc_1/stdout.0`)).not.toBe(0);
});

test("the child has descriptors 0, 1 and 2 alone, though the daemon inherited another", async () => {
  await using guest = new TestGuest();
  const leak = openSync("/etc/passwd", "r");
  const options = ["start", "--run-dir", guest.runDir, "--session", "sesn_1", "--process", "prc_1"];
  const command = ["--generation", "1", "--cwd", "/", "--", "sh", "-c", "ls /proc/$$/fd; cat"];
  const started = spawnSync(process.execPath, [guest.script, ...options, ...command], {
    stdio: ["ignore", "pipe", "pipe", leak, leak],
  });
  expect(started.status, String(started.stderr)).toBe(0);
  const client = await guest.client();
  await client.subscribe("prc_1");
  // 10 is the shell's own script descriptor in some shells; `sh -c` has none.
  expect((await client.waitText("prc_1", "2\n")).trim().split("\n")).toEqual(["0", "1", "2"]);
});

test("another process of the same user cannot open the child's stdin, stdout or stderr", async () => {
  await using guest = new TestGuest();
  const user = ["runuser", "-u", "nobody", "--"];
  guest.start({ session: "sesn_1", process: "prc_1" }, [...user, "sh", "-c", "echo $$; cat"]);
  const client = await guest.client();
  await client.subscribe("prc_1");
  const pid = Number(await client.waitText("prc_1", "\n"));
  for (const descriptor of [0, 1, 2]) {
    const open = spawnSync("runuser", [
      "-u",
      "nobody",
      "--",
      "sh",
      "-c",
      `echo forged >> /proc/${pid}/fd/${descriptor}`,
    ]);
    expect(open.status).not.toBe(0);
    expect(String(open.stderr)).toMatch(/No such device or address/);
  }
  expect(client.text("prc_1")).not.toContain("forged");
});

test("lines go in, output comes out from any offset, then the exit", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  await client.started(echo);
  await client.subscribe("prc_1");
  expect(await client.stdin("one", "line_1")).toMatchObject({ ok: true });
  await client.waitText("prc_1", "got one\n");
  await client.request({ type: "close_stdin", processId: "prc_1", generation: 1 });
  const exit = await client.waitFor("exit");
  expect(exit).toMatchObject({ code: 0, signal: null, stdoutBytes: 12, stderrBytes: 0 });
  expect(client.text("prc_1")).toBe("got one\nend\n");
  expect(await client.stdin("late", "line_2")).toMatchObject({ ok: false, code: "stdin_closed" });
  const other = await guest.client();
  expect(processOf(other, "prc_1")).toMatchObject({ exit: { code: 0, signal: null }, stdoutBytes: 12 });
  await other.subscribe("prc_1", 8);
  await other.waitFor("exit");
  expect(other.text("prc_1")).toBe("end\n");
  expect(await other.subscribe("prc_1", 13)).toMatchObject({
    ok: false,
    code: "offset_unavailable",
    spools: { stdout: { start: 0, end: 12 }, stderr: { start: 0, end: 0 } },
  });
});

test("the same line id is written once, whoever sends it again", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  await client.started(echo);
  await client.subscribe("prc_1");
  const sent = [client.stdin("one", "line_1"), client.stdin("one", "line_1"), client.stdin("two", "line_2")];
  expect((await Promise.all(sent)).every((reply) => reply.ok)).toBe(true);
  const other = await guest.client();
  expect(await other.stdin("one", "line_1")).toMatchObject({ ok: true });
  await other.request({ type: "close_stdin", processId: "prc_1", generation: 1 });
  await client.waitFor("exit");
  expect(client.text("prc_1")).toBe("got one\ngot two\nend\n");
  expect(await other.stdin("one", "line_1")).toMatchObject({ ok: true });
});

test("a lower generation is refused everywhere, also after the daemon was killed", async () => {
  await using guest = new TestGuest();
  const daemon = await guest.daemon();
  const client = await guest.client();
  await client.started(echo, { generation: 3 });
  const stale = { ok: false, code: "stale_generation" };
  expect(await client.stdin("x", "line_1", { generation: 2 })).toMatchObject(stale);
  expect(await client.request({ type: "fence", sessionId: "sesn_1", generation: 5 })).toMatchObject({ ok: true });
  expect(await client.stdin("x", "line_1", { generation: 3 })).toMatchObject(stale);
  expect(await client.request({ type: "close_stdin", processId: "prc_1", generation: 4 })).toMatchObject(stale);
  const signal = { type: "signal", processId: "prc_1", signal: "SIGKILL", group: true } as const;
  expect(await client.request({ ...signal, generation: 4 })).toMatchObject(stale);
  expect(await client.stdin("x", "line_1", { generation: 5 })).toMatchObject({ ok: true });
  daemon.kill("SIGKILL");
  await until("the daemon's end", () => daemon.signalCode !== null);
  await guest.daemon();
  const after = await guest.client();
  expect(processOf(after, "prc_1")?.generation).toBe(5);
  await expect(after.started(echo, { process: "prc_2", generation: 4 })).rejects.toThrow("stale_generation");
  await after.started(echo, { process: "prc_2", generation: 5 });
});

test("a session has one running process", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  await client.started(echo);
  await expect(client.started(echo, { process: "prc_2" })).rejects.toThrow("already_running");
  await client.started(echo, { process: "prc_3", session: "sesn_2" });
  expect(guest.start({ session: "sesn_1", process: "prc_4" }, ["true"])).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining('"already_running"'),
  });
});

test("what cannot be started says why and leaves nothing", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const missing = guest.start({ session: "sesn_1", process: "prc_1" }, ["/no/such/program"]);
  expect(missing.code).toBe(1);
  expect(JSON.parse(missing.stderr)).toMatchObject({
    code: "spawn_failed",
    message: expect.stringContaining("ENOENT"),
  });
  const folder = guest.start({ session: "sesn_1", process: "prc_1", cwd: "/no/such/folder" }, ["true"]);
  expect(JSON.parse(folder.stderr).message).toContain("working directory");
  expect(readdirSync(join(guest.runDir, "spool"))).toEqual([]);
});

test("a client that is killed in the middle of a flood harms nobody", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  await client.started(["sh", "-c", "read go; yes 0123456789abcdef | head -c 20000000; cat"]);
  // `socat` as on the real wire; it gets a subscription and then dies in mid-stream.
  const socat = spawn("socat", ["-", `UNIX-CONNECT:${guest.runDir}/guest.sock`], { stdio: "pipe" });
  const { encodeFrame } = await import("../src/frames.ts");
  const subscribe = { type: "subscribe", requestId: 1, processId: "prc_1", stdoutOffset: 0, stderrOffset: 0 } as const;
  socat.stdin.write(encodeFrame(subscribe));
  await new Promise((resolve) => socat.stdout.once("data", resolve));
  await client.stdin("go", "line_1");
  socat.kill("SIGKILL");
  await client.subscribe("prc_1");
  await client.waitBytes("prc_1", 20_000_000);
  expect(await client.request({ type: "ping" })).toMatchObject({ ok: true });
});

test("50 MB beside a reader that does not read: the child never waits, memory stays small", async () => {
  await using guest = new TestGuest();
  const size = 50_000_000;
  guest.start({ session: "sesn_1", process: "prc_1" }, ["sh", "-c", `read go; yes 0123456789abcdef | head -c ${size}`]);
  const stuck = await guest.client();
  await stuck.subscribe("prc_1");
  stuck.socket.pause();
  const client = await guest.client();
  const daemonPid = client.hello.pid;
  await client.stdin("go", "line_1");
  await client.subscribe("prc_1", 0, 0);
  const exit = await client.waitFor("exit");
  expect(exit.stdoutBytes).toBe(size);
  const status = readFileSync(`/proc/${daemonPid}/status`, "utf8");
  const peakKb = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]);
  // 58 MB here; a daemon that kept what its stuck reader has not taken would need 50 more.
  expect(peakKb).toBeLessThan(68_000);
  // The stuck one has lost nothing: it reads on from where it was.
  stuck.socket.resume();
  await stuck.waitFor("exit");
  const expected = Buffer.alloc(size, "0123456789abcdef\n");
  expect(Buffer.concat(stuck.output.get("prc_1/stdout") ?? []).equals(expected)).toBe(true);
  expect(Buffer.concat(client.output.get("prc_1/stdout") ?? []).equals(expected)).toBe(true);
});

test("what is committed leaves the disk, what ended can be removed", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  await client.started(["sh", "-c", "yes 0123456789abcdef | head -c 20000000; read x"]);
  await client.subscribe("prc_1");
  await client.waitBytes("prc_1", 20_000_000);
  expect(await client.request({ type: "remove", processId: "prc_1", generation: 1 })).toMatchObject({
    ok: false,
    code: "bad_request",
  });
  const files = () => readdirSync(join(guest.runDir, "spool/prc_1")).filter((file) => file.startsWith("stdout"));
  expect(files()).toHaveLength(3);
  await client.request({
    type: "committed",
    processId: "prc_1",
    generation: 1,
    stdoutOffset: 17_000_000,
    stderrOffset: 0,
  });
  expect(files()).toEqual(["stdout.16777216"]);
  expect(await client.subscribe("prc_1", 100)).toMatchObject({
    ok: false,
    code: "offset_unavailable",
    spools: { stdout: { start: 16_777_216, end: 20_000_000 } },
  });
  await client.subscribe("prc_1", 20_000_000);
  await client.stdin("end", "line_1");
  await client.waitFor("exit");
  expect(await client.request({ type: "remove", processId: "prc_1", generation: 1 })).toMatchObject({ ok: true });
  expect(readdirSync(join(guest.runDir, "spool"))).toEqual([]);
  expect(await client.subscribe("prc_1")).toMatchObject({ ok: false, code: "unknown_process" });
});

test("killed and started again, the daemon finds its spools and ends what it can no longer hear", async () => {
  await using guest = new TestGuest();
  const daemon = await guest.daemon();
  const client = await guest.client();
  await client.started(["sh", "-c", "echo $$ kept; trap '' TERM HUP INT PIPE; (setsid sleep 1000 &) ; sleep 1000"]);
  await client.started(["sh", "-c", "echo done; exit 3"], { process: "prc_2", session: "sesn_2" });
  await client.subscribe("prc_1");
  await client.subscribe("prc_2");
  const pid = Number.parseInt(await client.waitText("prc_1", "kept\n"), 10);
  await client.waitFor("exit");
  daemon.kill("SIGKILL");
  await until("the daemon's end", () => daemon.signalCode !== null);
  expect(isAlive(pid)).toBe(true);
  await guest.daemon();
  const after = await guest.client();
  expect(processOf(after, "prc_1")?.exit).toEqual({ code: null, signal: "lost" });
  expect(processOf(after, "prc_2")?.exit).toEqual({ code: 3, signal: null });
  await until("the process's end", () => !isAlive(pid));
  await after.subscribe("prc_1");
  await after.waitFor("exit");
  expect(after.text("prc_1")).toContain("kept");
});

test("a second daemon on the same folder ends by itself, and of many starts one wins", async () => {
  await using guest = new TestGuest();
  const starts = Array.from({ length: 4 }, (_, index) => {
    const ids = ["--session", `sesn_${index}`, "--process", `prc_${index}`, "--generation", "1", "--cwd", "/"];
    const child = spawn(process.execPath, [guest.script, "start", "--run-dir", guest.runDir, ...ids, "--", "cat"]);
    return new Promise<number | null>((resolve) => child.once("exit", resolve));
  });
  expect(await Promise.all(starts)).toEqual([0, 0, 0, 0]);
  const client = await guest.client();
  expect(client.hello.processes).toHaveLength(4);
  const second = guest.run(["daemon", "--run-dir", guest.runDir]);
  expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining("already_running") });
  expect(await client.request({ type: "ping" })).toMatchObject({ ok: true });
});

test("SIGINT reaches the program behind runuser, and it alone", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  const script = "trap 'echo interrupted; exit 0' INT; echo ready; while :; do sleep 0.05; done";
  await client.started(["runuser", "-u", "nobody", "--", "sh", "-c", script]);
  await client.subscribe("prc_1");
  await client.waitText("prc_1", "ready\n");
  await client.request({ type: "signal", processId: "prc_1", generation: 1, signal: "SIGINT", group: false });
  expect(await client.waitFor("exit")).toMatchObject({ code: 0 });
  expect(client.text("prc_1")).toContain("interrupted");
});

test("a group signal ends everything that the process started, in whatever session it hides", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  const hide = "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; (setsid sh -c 'echo $$; exec sleep 1000' &); wait";
  await client.started(["sh", "-c", `echo $$; ${hide}`]);
  await client.subscribe("prc_1");
  const pids = await client.until("four pids", () => {
    const lines = client.text("prc_1").trim().split("\n").map(Number);
    return lines.length === 4 ? lines : undefined;
  });
  expect(pids.every(isAlive)).toBe(true);
  await client.request({ type: "signal", processId: "prc_1", generation: 1, signal: "SIGKILL", group: true });
  await client.waitFor("exit");
  await until("the end of all of them", () => !pids.some(isAlive));
});

test("what a killed process leaves behind is ended, in whatever session it hides", async () => {
  await using guest = new TestGuest();
  // As in a sandbox: root may not look into others' processes.
  await guest.daemon({ under: ["setpriv", "--bounding-set", "-sys_ptrace", "--"] });
  const client = await guest.client();
  const leave = "setsid sleep 1000 & echo $!; exec sleep 1000";
  await client.started(["runuser", "-u", "nobody", "--", "sh", "-c", `echo $$; ${leave}`]);
  await client.subscribe("prc_1");
  const [main = 0, left = 0] = await client.until("two pids", () => {
    const lines = client.text("prc_1").trim().split("\n").map(Number);
    return lines.length === 2 ? lines : undefined;
  });
  expect([main, left].every(isAlive)).toBe(true);
  process.kill(main, "SIGKILL");
  await client.waitFor("exit");
  await until("the end of what it left", () => !isAlive(left));
});

test("a later generation's fence closes the connection of the server before it", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const [before, other, after] = [await guest.client(), await guest.client(), await guest.client()];
  const fence = (client: Client, sessionId: string, generation: number) =>
    client.request({ type: "fence", sessionId, generation });
  await fence(before, "sesn_1", 1);
  await fence(other, "sesn_2", 1);
  // The same again, on another connection of the same server, closes nothing.
  await fence(after, "sesn_1", 1);
  expect(await before.request({ type: "ping" })).toMatchObject({ ok: true });
  await fence(after, "sesn_1", 2);
  await until("the end of the connection before", () => before.socket.closed);
  expect(await other.request({ type: "ping" })).toMatchObject({ ok: true });
  expect(await after.request({ type: "ping" })).toMatchObject({ ok: true });
});

test("what a process leaves behind that ends in order after a signal is ended, too", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  // A shell's background commands do not hear SIGINT.
  const leave = "trap 'exit 0' INT; sleep 1000 & echo $!; while :; do sleep 0.05; done";
  await client.started(["sh", "-c", leave]);
  await client.subscribe("prc_1");
  const left = Number(await client.until("its pid", () => client.text("prc_1").trim() || undefined));
  expect(isAlive(left)).toBe(true);
  await client.request({ type: "signal", processId: "prc_1", generation: 1, signal: "SIGINT", group: true });
  expect(await client.waitFor("exit")).toMatchObject({ code: 0 });
  await until("its end", () => !isAlive(left));
});

test("the exit comes although something left behind holds the pipes, and can be cleaned up", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  await client.started(["sh", "-c", "setsid sleep 1000 & echo $!; exit 4"]);
  await client.subscribe("prc_1");
  expect(await client.waitFor("exit")).toMatchObject({ code: 4 });
  const left = Number(client.text("prc_1"));
  expect(isAlive(left)).toBe(true);
  await client.request({ type: "signal", processId: "prc_1", generation: 1, signal: "SIGKILL", group: true });
  await until("its end", () => !isAlive(left));
});

test("requests that are wrong are answered, bytes that are no frames close the connection", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const client = await guest.client();
  await client.started(echo);
  const bad = { ok: false, code: "bad_request" };
  expect(await client.stdin("two\nlines", "line_1")).toMatchObject(bad);
  expect(await client.request({ type: "fence", sessionId: "../../etc/passwd", generation: 1 })).toMatchObject(bad);
  expect(
    await client.request({ type: "subscribe", processId: "prc_1", stdoutOffset: -1, stderrOffset: 0 }),
  ).toMatchObject(bad);
  const signal = { type: "signal", processId: "prc_1", generation: 1, signal: "SIGNONE", group: false } as const;
  expect(await client.request(signal)).toMatchObject(bad);
  expect(await client.request({ type: "ping" })).toMatchObject({ ok: true });
  const garbage = await Client.connect(join(guest.runDir, "guest.sock"));
  garbage.socket.write("GET / HTTP/1.1\r\n\r\n");
  await until("the end of the connection", () => garbage.isClosed);
  expect(await client.request({ type: "ping" })).toMatchObject({ ok: true });
});

test("SIGTERM ends the processes, then the daemon", async () => {
  await using guest = new TestGuest();
  const daemon = await guest.daemon();
  const client = await guest.client();
  await client.started(["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"]);
  await client.subscribe("prc_1");
  const pid = Number(await client.waitText("prc_1", "\n"));
  daemon.kill("SIGTERM");
  await until("the daemon's end", () => daemon.exitCode !== null);
  expect(daemon.exitCode).toBe(0);
  expect(isAlive(pid)).toBe(false);
});

test("a connection with a key carries nothing that can be read without it, from the answer on", async () => {
  await using guest = new TestGuest();
  await guest.daemon();
  const writer = await guest.client();
  await writer.started(["sh", "-c", 'while read -r line; do echo "canary $line"; done; echo canary-error >&2']);
  const client = await guest.client();
  expect(client.hello.seals).toBe(true);
  expect(await client.request({ type: "seal" }, "too short")).toMatchObject({ ok: false, code: "bad_request" });
  client.raw = [];
  expect(await client.seal()).toMatchObject({ ok: true });
  await client.subscribe("prc_1");
  await writer.subscribe("prc_1");
  const line = (lineId: string, text: string) =>
    client.request({ type: "stdin", processId: "prc_1", generation: 1, lineId }, text);
  await line("l1", "one");
  await line("l2", "x".repeat(300_000));
  await client.request({ type: "close_stdin", processId: "prc_1", generation: 1 });
  for (const each of [client, writer]) {
    await each.waitFor("exit");
    expect(each.text("prc_1")).toBe(`canary one\ncanary ${"x".repeat(300_000)}\n`);
    expect(each.text("prc_1", "stderr")).toBe("canary-error\n");
  }
  const kept = Buffer.concat(client.raw).toString("latin1");
  expect(kept.length).toBeGreaterThan(300_000);
  for (const word of ["canary", "xxxx", "prc_1", "reply"]) expect(kept).not.toContain(word);
});
