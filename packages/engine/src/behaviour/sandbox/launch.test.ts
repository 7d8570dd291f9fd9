import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BuiltImage } from "../../images/builder.ts";
import { firstProcess } from "./launch.ts";

const root = { uid: 0, gid: 0, name: "root", home: "/root" };
let dir: string;
let image: BuiltImage;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "launch-"));
  for (const name of ["base/usr/bin", "top", "bare/bin"]) mkdirSync(join(dir, name), { recursive: true });
  symlinkSync("usr/bin", join(dir, "base/bin"));
  writeFileSync(join(dir, "base/usr/bin/sh"), "");
  image = { layers: [join(dir, "top"), join(dir, "base")], env: {} };
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(command: string[]) {
  const [program = "", ...args] = firstProcess(command, image, root);
  return spawnSync(program, args, { encoding: "utf8" });
}

describe("process 1 of a sandbox with a command of its own", () => {
  it("passes arguments, output and the exit code through", () => {
    const ran = run(["sh", "-c", 'echo "$1|$2"; echo wrong >&2; exit 42', "name", "a  b", "$HOME '\""]);
    expect([ran.status, ran.stdout, ran.stderr]).toEqual([42, "a  b|$HOME '\"\n", "wrong\n"]);
    for (const code of [0, 1, 127, 130, 143, 255]) expect(run(["sh", "-c", `exit ${code}`]).status).toBe(code);
  });

  it("tells a signal as 128 and more, a missing program as 127", () => {
    expect(run(["sh", "-c", "kill -9 $$"]).status).toBe(137);
    expect(run(["sh", "-c", "kill -TERM $$"]).status).toBe(143);
    const missing = run(["no-such-program"]);
    expect([missing.status, missing.stderr]).toEqual([127, expect.stringContaining("no-such-program")]);
  });

  it.each(["SIGTERM", "SIGINT"] as const)("passes %s on and waits for the command's own answer", async (signal) => {
    const script = `trap 'echo heard; exit 7' TERM INT; echo ready; while :; do sleep 0.05; done`;
    const command = signal === "SIGINT" ? ["python3", "-u", "-c", python] : ["sh", "-c", script];
    const [program = "", ...args] = firstProcess(command, image, root);
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    const code = await new Promise((resolve) => {
      child.stdout.on("data", (chunk: Buffer) => {
        const first = said === "";
        said += chunk;
        if (first) child.kill(signal);
      });
      // Closed: nothing that it started is left.
      child.on("close", resolve);
    });
    expect([code, said]).toEqual([7, "ready\nheard\n"]);
  });

  it("is the command itself where the image has no shell, and where the sandbox only sleeps", () => {
    const bare: BuiltImage = { layers: [join(dir, "bare")], env: {} };
    expect(firstProcess(["/app", "x"], bare, root)).toEqual(["/app", "x"]);
    expect(firstProcess([], image, root)[2]).toContain("sleep 86400");
    expect(firstProcess([], { ...image, entrypoint: ["/entry"] }, root).slice(3)).toEqual([
      "init",
      "/entry",
      "/bin/sh",
      "-c",
      expect.any(String),
    ]);
  });

  it("is the image's user, as the command is, where that is honoured", () => {
    const user = { uid: 1000, gid: 1000, name: "claudeuser", home: "/home" };
    const started = firstProcess(["true"], image, user);
    expect(started.slice(0, 2)).toEqual(["setpriv", "--reuid=1000"]);
    expect(started.slice(-2)).toEqual(["init", "true"]);
    expect(firstProcess([], image, user).at(-1)).toContain("sleep 86400");
  });
});

/** A shell may not take back that it was started with SIGINT ignored; a program with a handler of its own may. */
const python = `
import signal, sys, time
def heard(*_): sys.stdout.write("heard\\n"); sys.exit(7)
signal.signal(signal.SIGINT, heard)
sys.stdout.write("ready\\n")
while True: time.sleep(0.05)`;
