import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { claudeCodeTemplate, closeClaude } from "./image-template.ts";

const template = claudeCodeTemplate({ base: "b", claudeVersion: "1.2.3", extraCommands: [], guestBundle: "bundle" });

describe("the image of Claude Code", () => {
  it("ends as root, with the CLI closed before the guest comes", () => {
    const commands = template.layers.flatMap((layer) => layer.commands);
    expect(commands.at(-1)).toBe("USER root");
    const install = commands.find((command) => command.includes("@1.2.3")) ?? "";
    expect(install).toContain("chmod 711 /usr/local/lib/claude-code/claude");
    expect(install).toContain("chmod 755 /usr/local/bin/claude");
    expect(install.trimEnd().endsWith("&& claude --version")).toBe(true);
    for (const command of commands) expect(command).not.toContain("\n");
  });
});

describe.skipIf(process.getuid?.() !== 0)("the CLI that its user cannot read", () => {
  let folder: string;
  let program: string;
  let launcher: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "image-template-"));
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, "lib"));
    mkdirSync(join(folder, "tmp"));
    chmodSync(join(folder, "tmp"), 0o1777);
    program = join(folder, "lib/claude");
    launcher = join(folder, "claude");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const close = () =>
    spawnSync("/bin/sh", ["-c", closeClaude({ program, launcher })], {
      encoding: "utf8",
      cwd: "/",
      env: { PATH: process.env.PATH, TMPDIR: join(folder, "tmp") },
    });
  const mode = (path: string) => (statSync(path).mode & 0o7777).toString(8);

  it("runs through a launcher of mode 755, which passes its arguments on", () => {
    copyFileSync("/bin/echo", program);
    const done = close();
    expect([done.status, done.stderr]).toEqual([0, ""]);
    expect([mode(program), mode(launcher)]).toEqual(["711", "755"]);
    expect(readFileSync(launcher, "utf8")).toBe(`#!/bin/sh\nexec ${program} "$@"\n`);
    const said = execFileSync("setpriv", [
      "--reuid=1000",
      "--regid=1000",
      "--clear-groups",
      "--",
      launcher,
      "a  b",
      "$c",
    ]);
    expect(said.toString()).toBe("a  b $c\n");
    expect(
      spawnSync("setpriv", ["--reuid=1000", "--regid=1000", "--clear-groups", "--", "cat", program]).status,
    ).not.toBe(0);
    expect(readdirSync(join(folder, "tmp"))).toEqual([]);
  });

  it("stays readable, and says so, where it reads itself: tried as its user, for root can always read", () => {
    writeFileSync(program, "#!/bin/sh\necho 1.2.3\n", { mode: 0o755 });
    const done = close();
    expect(done.status).toBe(0);
    expect(done.stderr).toContain("warning: this Claude Code does not run when its user cannot read it");
    expect([mode(program), mode(launcher)]).toEqual(["755", "755"]);
    expect(execFileSync("setpriv", ["--reuid=1000", "--regid=1000", "--clear-groups", "--", launcher]).toString()).toBe(
      "1.2.3\n",
    );
  });

  it("tries it in an empty home of that user's, and leaves nothing of the trial", () => {
    writeFileSync(program, `#!/bin/sh\ntouch "$HOME/written" && id -u > ${folder}/tmp/uid\n`, { mode: 0o755 });
    chmodSync(program, 0o755);
    expect(close().status).toBe(0);
    // The first trial cannot read the script, so nothing ran in it.
    expect(existsSync(join(folder, "tmp/uid"))).toBe(false);
    expect(readdirSync(join(folder, "tmp"))).toEqual([]);
  });
});
