import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { childrenOf, HOST_ID_BASE, keeperPid, Machine, printSkipReason, traces, uidOf } from "./_machine.ts";

const signal = () => AbortSignal.timeout(20_000);

describe.skipIf(printSkipReason())("sandboxes", () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await Machine.start();
  });
  afterAll(() => machine[Symbol.asyncDispose]());

  it("maps root inside to an unprivileged user of the machine, without a way to gain privileges", async () => {
    const id = await machine.create();
    const execId = await machine.start(id, "echo go; exec sleep 1000");
    await machine.readUntil(id, execId, "go");
    const outside = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && uidOf(pid) === HOST_ID_BASE);
    expect(outside.length).toBe(2);
    const { stdout } = await machine.run(
      id,
      "id -u; cat /proc/self/uid_map; grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/self/status",
    );
    expect(stdout.split("\n").map((line) => line.replace(/\s+/g, " ").trim())).toEqual([
      "0",
      `0 ${HOST_ID_BASE} 65536`,
      "CapBnd: 00000000200405fb",
      "NoNewPrivs: 1",
      "Seccomp: 2",
      "",
    ]);
    await machine.runtime.destroy(id, "terminated");
  });

  it("stores volume files with plain ids, for root and for another user, behind a link owned by root", async () => {
    const volume = join(machine.dir, "volume");
    mkdirSync(volume);
    const id = await machine.create({
      mounts: [{ source: volume, target: "/__modal/volumes/vo-1", readOnly: false, idmapped: true }],
      symlinks: [{ path: "/mnt/workspace", target: "/__modal/volumes/vo-1" }],
    });
    const denied = await machine.run(id, "su claudeuser -c 'mkdir /mnt/workspace/marketing'");
    expect(denied.stderr).toContain("Permission denied");
    const done = await machine.run(
      id,
      "touch /mnt/workspace/of-root; chown 1000:1000 /__modal/volumes/vo-1; su claudeuser -c 'touch /mnt/workspace/of-user'; stat -c %u:%g /mnt/workspace/of-user; readlink /mnt/workspace; ls -ldn /mnt/workspace | cut -c1-24",
    );
    expect(done.stdout.split("\n").slice(0, 2)).toEqual(["1000:1000", "/__modal/volumes/vo-1"]);
    expect(statSync(join(volume, "of-root")).uid).toBe(0);
    expect(statSync(join(volume, "of-user"))).toMatchObject({ uid: 1000, gid: 1000 });
    await machine.runtime.destroy(id, "terminated");
  });

  it("shows one volume to two sandboxes, and a read-only mount stays read-only", async () => {
    const volume = join(machine.dir, "shared");
    mkdirSync(volume);
    const mount = { source: volume, target: "/data", idmapped: true };
    const writer = await machine.create({ mounts: [{ ...mount, readOnly: false }] });
    const reader = await machine.create({ mounts: [{ ...mount, readOnly: true }] });
    await machine.run(writer, "echo seen >/data/file");
    const { stdout, stderr } = await machine.run(reader, "cat /data/file; echo no >/data/file");
    expect(stdout).toBe("seen\n");
    expect(stderr).toContain("Read-only file system");
    await Promise.all([writer, reader].map((id) => machine.runtime.destroy(id, "terminated")));
  });

  it("gives files, host name, a usable /tmp and /dev/shm, and no inherited descriptor", async () => {
    const id = await machine.create({
      hostname: "workbench",
      files: [{ path: "/etc/resolv.conf", content: "nameserver 10.0.0.1\n" }],
    });
    const { stdout } = await machine.run(
      id,
      "hostname; cat /etc/resolv.conf; echo x >>/etc/resolv.conf; stat -c %a /tmp; su claudeuser -c 'touch /tmp/a /dev/shm/b && echo ok'; ls /proc/self/fd | grep -cv '^[0-3]$'",
    );
    expect(stdout).toBe("workbench\nnameserver 10.0.0.1\n1777\nok\n0\n");
    await machine.runtime.destroy(id, "terminated");
  });

  it("leaves nothing on the machine after destroy, keeps the spools until forget", async () => {
    const id = await machine.create({ limits: { memoryBytes: 200_000_000, milliCpu: 500, pids: 50 } });
    const execId = await machine.start(id, "echo kept; sleep 1000");
    await machine.readUntil(id, execId, "kept");
    expect(traces(machine, id).length).toBeGreaterThan(0);
    await machine.runtime.destroy(id, "terminated");
    await machine.runtime.destroy(id, "terminated");
    expect(traces(machine, id)).toEqual([]);
    expect(await machine.runtime.state(id)).toEqual({ running: false, exit: { signal: 9, reason: "terminated" } });
    expect(await machine.finish(id, execId)).toMatchObject({ stdout: "kept\n", exit: { signal: 9 } });
    await expect(machine.start(id, "true")).rejects.toMatchObject({ code: "not_running" });
    await machine.runtime.forget(id);
    await machine.runtime.forget(id);
    expect(await machine.runtime.list()).not.toContain(id);
    await expect(machine.runtime.state(id)).rejects.toMatchObject({ code: "not_found" });
    expect(existsSync(join(machine.stateDir, "sandboxes", id))).toBe(false);
  });

  it("ends by itself with its main process, whose output is spooled", async () => {
    const id = await machine.create({ args: ["/bin/sh", "-c", "echo main; sleep 0.2; exit 5"] });
    expect(await machine.runtime.waitSandbox(id, { signal: signal() })).toEqual({
      running: false,
      exit: { code: 5, reason: "exit" },
    });
    expect(await machine.read(id, "main")).toBe("main\n");
    expect(traces(machine, id)).toEqual([]);
  });

  it("says that memory ran out", async () => {
    const hungry = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    const id = await machine.create({ args: ["/bin/sh", "-c", hungry], limits: { memoryBytes: 30_000_000 } });
    const state = await machine.runtime.waitSandbox(id, { signal: signal() });
    expect(state.exit).toEqual({ signal: 9, reason: "oom" });
  });

  it("holds the process limit, and the machine goes on", async () => {
    const id = await machine.create({ limits: { pids: 20 } });
    const { stderr } = await machine.run(id, "for i in $(seq 60); do sleep 5 & done; echo end");
    expect(stderr).toContain("can't fork");
    await machine.runtime.destroy(id, "terminated");
  });

  it("keeps a writable layer that was asked for, with plain ids, usable as the next root's layer", async () => {
    const upperDir = join(machine.dir, "layers", "one");
    mkdirSync(join(machine.dir, "layers"));
    const id = await machine.create({ upperDir });
    await machine.run(id, "echo built >/made; chown 1000:1000 /made; rm /etc/group; mkdir /opt");
    await machine.runtime.destroy(id, "terminated");
    expect(statSync(join(upperDir, "made")).uid).toBe(1000);
    expect(readdirSync(join(machine.dir, "layers"))).toEqual(["one"]);
    const next = await machine.create({ layers: [upperDir, machine.layer] });
    const { stdout } = await machine.run(next, "cat /made; stat -c %u /made /opt; ls /etc");
    expect(stdout).toBe("built\n1000\n0\npasswd\n");
    await machine.runtime.destroy(next, "terminated");
  });

  it("replaces only an empty or missing directory by a volume link", async () => {
    const link = (path: string) => ({ symlinks: [{ path, target: "/data" }] });
    const id = await machine.create(link("/mnt/empty"));
    expect((await machine.run(id, "readlink /mnt/empty")).stdout).toBe("/data\n");
    await machine.runtime.destroy(id, "terminated");
    for (const path of ["/mnt/full", "/mnt/full/file", "/", "relative"]) {
      await expect(machine.create(link(path))).rejects.toMatchObject({ code: "invalid" });
    }
  });

  it("never follows an image's links out of the image", async () => {
    const victim = join(machine.dir, "victim");
    mkdirSync(join(victim, "inner"), { recursive: true });
    const linked = (name: string, target: string): string => {
      const layer = join(machine.dir, name);
      mkdirSync(layer);
      symlinkSync(target, join(layer, "srv"));
      return layer;
    };
    const symlinks = [{ path: "/srv/workspace", target: "/data" }];
    const toHost = [linked("to-host", victim), machine.layer];
    await expect(machine.create({ layers: toHost, symlinks })).rejects.toMatchObject({ code: "invalid" });
    const file = { path: "/srv/inner/file", content: "planted" };
    await expect(machine.create({ layers: toHost, files: [file] })).rejects.toMatchObject({ code: "invalid" });
    const dangling = await machine.create({ layers: toHost, files: [{ path: "/srv", content: "bound" }] });
    expect((await machine.run(dangling, "cat /srv")).stdout).toBe("bound");
    await machine.runtime.destroy(dangling, "terminated");
    expect(readdirSync(victim)).toEqual(["inner"]);
    expect(readdirSync(join(victim, "inner"))).toEqual([]);

    const within = await machine.create({ layers: [linked("within", "/../../etc"), machine.layer], symlinks });
    expect((await machine.run(within, "readlink /etc/workspace")).stdout).toBe("/data\n");
    expect(existsSync("/etc/workspace")).toBe(false);
    await machine.runtime.destroy(within, "terminated");
  });

  it("refuses a second sandbox of the same id and cleans up after a start that fails", async () => {
    const id = await machine.create();
    await expect(machine.create({ sandboxId: id })).rejects.toMatchObject({ code: "already_exists" });
    await machine.runtime.destroy(id, "terminated");
    const bad = machine.spec({ args: ["/no/such/program"] });
    await expect(machine.runtime.create(bad, { signal: signal() })).rejects.toMatchObject({
      code: "exec_failed",
      message: expect.stringContaining("/no/such/program"),
    });
    const source = { source: "/no/such/source", target: "/data", readOnly: false, idmapped: true };
    await expect(machine.create({ sandboxId: "sb-no-source", mounts: [source] })).rejects.toThrow("/no/such/source");
    for (const failed of [bad.sandboxId, "sb-no-source"]) {
      expect(traces(machine, failed)).toEqual([]);
      expect(existsSync(join(machine.stateDir, "sandboxes", failed))).toBe(false);
    }
  });

  it("refuses ids that are no names", async () => {
    for (const sandboxId of ["", "../up", "a/b", "nul\0", "x".repeat(300), "-flag"]) {
      await expect(machine.create({ sandboxId })).rejects.toMatchObject({ code: "invalid" });
    }
  });

  it("destroys a sandbox full of stopped and forking processes in time", async () => {
    const id = await machine.create({ limits: { pids: 60 } });
    const execId = await machine.start(
      id,
      "f() { while :; do (sleep 0.01); done; }; f & f & f & sleep 1000 & kill -STOP $!; echo go; wait",
    );
    await machine.readUntil(id, execId, "go");
    const started = performance.now();
    await machine.runtime.destroy(id, "terminated");
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(traces(machine, id)).toEqual([]);
  });

  it("creates many at once", async () => {
    const ids = await Promise.all(Array.from({ length: 8 }, () => machine.create()));
    const outputs = await Promise.all(ids.map((id) => machine.run(id, "echo $$ >/own; ls /")));
    expect(outputs.every(({ exit }) => "code" in exit && exit.code === 0)).toBe(true);
    await Promise.all(ids.map((id) => machine.runtime.destroy(id, "idle")));
    for (const id of ids) expect(traces(machine, id)).toEqual([]);
  });

  it("leaves no process with the keeper that nobody waits for", async () => {
    const ids = await Promise.all([machine.create(), machine.create()]);
    for (const id of ids) {
      await machine.run(id, "true");
      await machine.start(id, "", { args: ["no-such-program"] }).catch(() => undefined);
    }
    const pid = keeperPid(machine);
    await vi.waitFor(() => expect(childrenOf(pid)).toEqual(["S sleep", "S sleep"]), { timeout: 5_000, interval: 20 });
    await Promise.all(ids.map((id) => machine.runtime.destroy(id, "terminated")));
    await vi.waitFor(() => expect(childrenOf(pid)).toEqual([]), { timeout: 5_000, interval: 20 });
  });

  it("leaves no trace at all after shutdown", async () => {
    await using other = await Machine.start();
    const id = await other.create();
    const log = join(other.stateDir, "keeper.log");
    await other.runtime.shutdown();
    expect(traces(other, id)).toEqual([]);
    expect(existsSync(`/run/holdfast-${other.instance}`)).toBe(false);
    expect(
      execFileSync("find", ["/sys/fs/cgroup", "-maxdepth", "2", "-name", `holdfast-${other.instance}`]).length,
    ).toBe(0);
    expect(readFileSync(log, "utf8")).not.toContain('"level":"warn"');
    await other.reopen();
    expect(await other.runtime.state(id)).toMatchObject({ running: false });
  });
});
