import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withoutLauncher } from "./launcher.ts";

let folder: string;
let target: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "launcher-"));
  mkdirSync(join(folder, "bin"));
  target = join(folder, "claude");
  writeFileSync(target, "program", { mode: 0o711 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function put(text: string, { name = "claude", mode = 0o755 } = {}): string {
  const file = join(folder, "bin", name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

const as = (program: string) => ["runuser", "-u", "claudeuser", "--", program, "-p", "a b", "--", "x"];
const start = (program = "claude") => withoutLauncher(as(program), `${folder}/none:relative:${folder}/bin`);
const launcherOf = (program: string) => `#!/bin/sh\nexec ${program} "$@"\n`;

describe.skipIf(process.getuid?.() !== 0)("a launcher of one line", () => {
  it("is passed over: what it starts is started, with the same arguments", () => {
    put(launcherOf(target));
    expect(start()).toEqual(as(target));
    expect(start(join(folder, "bin", "claude"))).toEqual(as(target));
  });

  it("is anything but that: started as it stands", () => {
    const others = [
      "program",
      "#!/bin/sh\necho first\n",
      `#!/bin/sh\necho first\nexec ${target} "$@"\n`,
      `${launcherOf(target)}echo after\n`,
      launcherOf("claude"),
      launcherOf(`${folder}/missing`),
      launcherOf(`${target};id`),
      launcherOf(folder),
    ];
    for (const text of others) {
      put(text);
      expect(start(), text).toEqual(as("claude"));
    }
    put(launcherOf(target).padEnd(5_000, "#"));
    expect(start()).toEqual(as("claude"));
  });

  it("counts only as root's, and only where it can be run", () => {
    const file = put(launcherOf(target));
    chownSync(file, 1000, 1000);
    expect(start()).toEqual(as("claude"));
    chownSync(file, 0, 0);
    chownSync(target, 1000, 1000);
    expect(start()).toEqual(as("claude"));
    chownSync(target, 0, 0);
    chmodSync(file, 0o644);
    expect(start()).toEqual(as("claude"));
    chmodSync(file, 0o755);
    expect(start()).toEqual(as(target));
  });

  it("is looked for only where another user's program is started", () => {
    put(launcherOf(target));
    for (const argv of [["claude", "-p"], ["runuser", "-u", "x", "claude"], ["runuser"], []]) {
      expect(withoutLauncher(argv, `${folder}/bin`)).toEqual(argv);
    }
    expect(withoutLauncher(as("claude"), undefined)).toEqual(as("claude"));
  });
});
