import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Machine, printSkipReason } from "./_machine.ts";

describe.skipIf(printSkipReason())("execs", () => {
  let machine: Machine;
  let sandboxId: string;

  beforeAll(async () => {
    machine = await Machine.start();
    sandboxId = await machine.create();
  });
  afterAll(() => machine[Symbol.asyncDispose]());

  it("keeps the two output streams apart and reports the exit code", async () => {
    const done = await machine.run(sandboxId, "echo out; echo err >&2; exit 7");
    expect(done).toEqual({ stdout: "out\n", stderr: "err\n", exit: { code: 7 } });
  });

  it("lets programs open /dev/stdout and /dev/stderr, as another user too", async () => {
    const done = await machine.run(sandboxId, "echo a >/dev/stdout; su claudeuser -c 'echo b >/dev/stderr'");
    expect(done).toMatchObject({ stdout: "a\n", stderr: "b\n", exit: { code: 0 } });
  });

  it("feeds standard input once although a client sends it twice", async () => {
    const execId = await machine.start(sandboxId, "cat");
    const write = (offset: number, text: string, eof = false) =>
      machine.runtime.writeStdin({ sandboxId, execId, offset, eof }, Buffer.from(text));
    await write(0, "hello ");
    await write(0, "hello wor");
    await write(9, "ld", true);
    await write(9, "ld", true);
    expect(await machine.finish(sandboxId, execId)).toMatchObject({ stdout: "hello world", exit: { code: 0 } });
    expect(await machine.runtime.execState(sandboxId, execId)).toEqual({
      exit: { code: 0 },
      stdinBytes: 11,
      stdinClosed: true,
    });
    await expect(write(11, "late")).rejects.toMatchObject({ code: "not_running" });
  });

  it("refuses input that leaves a gap", async () => {
    const execId = await machine.start(sandboxId, "cat");
    const target = { sandboxId, execId, offset: 5, eof: false };
    await expect(machine.runtime.writeStdin(target, Buffer.from("x"))).rejects.toMatchObject({ code: "offset_gap" });
    await machine.runtime.killExec(sandboxId, execId, 9);
    expect((await machine.finish(sandboxId, execId)).exit).toEqual({ signal: 9 });
  });

  it("survives a process that never reads its input", async () => {
    const execId = await machine.start(sandboxId, "exec <&-; echo closed; sleep 0.2");
    await machine.readUntil(sandboxId, execId, "closed");
    const data = Buffer.alloc(300_000);
    await machine.runtime.writeStdin({ sandboxId, execId, offset: 0, eof: true }, data);
    expect((await machine.finish(sandboxId, execId)).exit).toEqual({ code: 0 });
  });

  it("takes more input at once than a frame may hold", async () => {
    const bytes = 80 * 1024 * 1024;
    const execId = await machine.start(sandboxId, "wc -c");
    const target = { sandboxId, execId, offset: 0, eof: true };
    await machine.runtime.writeStdin(target, new Uint8Array(bytes));
    expect(await machine.finish(sandboxId, execId)).toMatchObject({ stdout: `${bytes}\n`, exit: { code: 0 } });
  });

  it("holds little of what a process does not read, and lets others go on", async () => {
    const slow = await machine.start(sandboxId, "until [ -e /tmp/now ]; do sleep 0.05; done; wc -c");
    const bytes = 30 * 1024 * 1024;
    const target = { sandboxId, execId: slow, offset: 0, eof: true };
    const written = machine.runtime.writeStdin(target, new Uint8Array(bytes));
    const taken = async () => (await machine.runtime.execState(sandboxId, slow)).stdinBytes;
    await expect.poll(taken).toBeGreaterThan(1024 * 1024);
    for (let n = 0; n < 5; n++) expect((await machine.run(sandboxId, "echo other")).stdout).toBe("other\n");
    expect(await taken()).toBeLessThan(2 * 1024 * 1024);
    await machine.run(sandboxId, "touch /tmp/now");
    await written;
    expect((await machine.finish(sandboxId, slow)).stdout).toBe(`${bytes}\n`);
  });

  it("gives output again from any offset, during and after the run", async () => {
    const execId = await machine.start(sandboxId, "echo 0123456789; read -r line; echo $line");
    await machine.readUntil(sandboxId, execId, "9\n");
    await machine.runtime.writeStdin({ sandboxId, execId, offset: 0, eof: true }, Buffer.from("end\n"));
    await machine.finish(sandboxId, execId);
    expect(await machine.read(sandboxId, execId, 1, 5)).toBe("56789\nend\n");
    expect(await machine.read(sandboxId, execId, 1, 15)).toBe("");
    await expect(machine.read(sandboxId, execId, 1, 16)).rejects.toMatchObject({ code: "offset_gap" });
  });

  it("loses nothing of 20 MB", async () => {
    const execId = await machine.start(sandboxId, "seq 1 2600000");
    const text = await machine.read(sandboxId, execId);
    expect(text.length).toBeGreaterThan(18_000_000);
    const lines = text.split("\n");
    expect(lines.length).toBe(2_600_001);
    expect(lines.findIndex((line, index) => index < 2_600_000 && line !== String(index + 1))).toBe(-1);
  });

  it("stops reading without an error when its reader leaves", async () => {
    const execId = await machine.start(sandboxId, "sleep 1000");
    const abort = new AbortController();
    const target = { sandboxId, execId, fd: 1 as const, offset: 0 };
    const iterator = machine.runtime.readOutput(target, { signal: abort.signal })[Symbol.asyncIterator]();
    const next = iterator.next();
    abort.abort();
    expect((await next).done).toBe(true);
    await machine.runtime.killExec(sandboxId, execId, 15);
    expect((await machine.finish(sandboxId, execId)).exit).toEqual({ signal: 15 });
  });

  it("tells a signal from an exit code above 128", async () => {
    expect((await machine.run(sandboxId, "kill -9 $$")).exit).toEqual({ signal: 9 });
    expect((await machine.run(sandboxId, "exit 137")).exit).toEqual({ code: 137 });
  });

  it("kills after the timeout, children too", async () => {
    const marker = `${Math.floor(Math.random() * 1e6) + 1e6}`;
    const done = await machine.run(sandboxId, `echo begun; sleep ${marker}; echo never`, { timeoutMs: 300 });
    expect(done).toMatchObject({ stdout: "begun\n", exit: { signal: 9 } });
    expect((await machine.run(sandboxId, "ps -o args")).stdout).not.toContain(`sleep ${marker}`);
  });

  it("ends an exec although a background process keeps its pipe, and does not kill that", async () => {
    const done = await machine.run(sandboxId, "(sleep 0.6; echo late; echo alive >/tmp/alive) & echo first");
    expect(done).toMatchObject({ stdout: "first\n", exit: { code: 0 } });
    const seen = await machine.run(sandboxId, "until [ -s /tmp/alive ]; do sleep 0.05; done; cat /tmp/alive");
    expect(seen.stdout).toBe("alive\n");
  });

  it("answers the same exec id with the running process", async () => {
    const execId = randomUUID();
    await machine.start(sandboxId, "echo once; cat", { execId });
    await machine.start(sandboxId, "echo once; cat", { execId });
    await machine.runtime.writeStdin({ sandboxId, execId, offset: 0, eof: true }, new Uint8Array());
    expect((await machine.finish(sandboxId, execId)).stdout).toBe("once\n");
  });

  it("drops output that nobody wants", async () => {
    const done = await machine.run(sandboxId, "echo out; echo err >&2", { stdout: "devnull" });
    expect(done).toMatchObject({ stdout: "", stderr: "err\n" });
  });

  it("names a missing program, a missing directory and a missing exec", async () => {
    await expect(machine.start(sandboxId, "", { args: ["no-such-program"] })).rejects.toMatchObject({
      code: "exec_failed",
      message: expect.stringContaining("no-such-program"),
    });
    await expect(machine.start(sandboxId, "true", { cwd: "/no/such/dir" })).rejects.toMatchObject({
      code: "exec_failed",
      message: expect.stringContaining("/no/such/dir"),
    });
    await expect(machine.start(sandboxId, "true", { execId: "../x" })).rejects.toMatchObject({ code: "invalid" });
    await expect(machine.runtime.execState(sandboxId, randomUUID())).rejects.toMatchObject({ code: "not_found" });
    await expect(machine.start("sb-none", "true")).rejects.toMatchObject({ code: "not_found" });
  });

  it("leaves no zombie behind after failed starts", async () => {
    for (let attempt = 0; attempt < 3; attempt++) {
      await machine.start(sandboxId, "", { args: ["no-such-program"] }).catch(() => undefined);
    }
    const { stdout } = await machine.run(
      sandboxId,
      "until ! ps -o args | grep -qE '^.(crun|runc)'; do sleep 0.05; done; echo none",
    );
    expect(stdout).toBe("none\n");
  });

  it("gives a terminal of the size asked for, with job control, and passes a resize on", async () => {
    const pty = { rows: 33, cols: 99, term: "xterm-256color" };
    const command =
      "tty; stty size; echo $TERM; trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.05; done";
    const execId = await machine.start(sandboxId, command, { pty });
    const seen = await machine.readUntil(sandboxId, execId, "ready");
    expect(seen).toContain("/dev/pts/0\r\n33 99\r\nxterm-256color\r\n");
    await machine.runtime.resizeExec(sandboxId, execId, { rows: 40, cols: 120 });
    const done = await machine.finish(sandboxId, execId);
    expect(done.stdout).toContain("40 120\r\n");
    expect(done).toMatchObject({ stderr: "", exit: { code: 4 } });
  });

  it("takes keys on a terminal: end of file and interrupt", async () => {
    const pty = { rows: 24, cols: 80, term: "xterm" };
    const reader = await machine.start(sandboxId, "cat", { pty });
    await machine.runtime.writeStdin({ sandboxId, execId: reader, offset: 0, eof: true }, Buffer.from("line\n"));
    expect(await machine.finish(sandboxId, reader)).toMatchObject({ stdout: "line\r\nline\r\n", exit: { code: 0 } });
    const sleeper = await machine.start(sandboxId, "echo go; exec sleep 1000", { pty });
    await machine.readUntil(sandboxId, sleeper, "go");
    await machine.runtime.writeStdin({ sandboxId, execId: sleeper, offset: 0, eof: false }, Buffer.from("\x03"));
    expect((await machine.finish(sandboxId, sleeper)).exit).toEqual({ signal: 2 });
  });

  it("keeps an exec's environment out of the sandbox's files and the next exec", async () => {
    const env = { PATH: "/bin", TOKEN: "only-here" };
    expect((await machine.run(sandboxId, "echo $TOKEN", { env })).stdout).toBe("only-here\n");
    expect((await machine.run(sandboxId, "echo [$TOKEN]; cat /proc/1/environ | tr '\\0' '\\n'")).stdout).toBe(
      "[]\nPATH=/bin\nHOME=/root\n",
    );
  });
});
