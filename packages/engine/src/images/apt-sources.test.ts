import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { machineSources } from "./apt-sources.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-apt-"));
  mkdirSync(join(dir, "sources.list.d"));
});
afterEach(() => rmSync(dir, { recursive: true }));

it("takes Debian's own entries of the suite, in both formats, and nobody else's", () => {
  writeFileSync(
    join(dir, "sources.list"),
    [
      "# deb http://mirror.test/debian bookworm main",
      "deb [signed-by=/x.gpg] http://mirror.test/debian bookworm main contrib",
      "deb-src http://mirror.test/debian bookworm main",
      "deb http://mirror.test/debian trixie main",
      "deb http://vendor.test/apt bookworm main",
    ].join("\n"),
  );
  writeFileSync(
    join(dir, "sources.list.d/debian.sources"),
    [
      "Types: deb",
      "# a comment",
      "URIs: http://mirror.test/debian-security",
      "Suites: bookworm-security",
      "Components: main",
      "",
      "Types: deb",
      "Enabled: no",
      "URIs: http://mirror.test/debian",
      "Suites: bookworm-backports",
      "Components: main",
    ].join("\n"),
  );
  expect(machineSources("bookworm", dir)).toEqual([
    "deb http://mirror.test/debian bookworm main contrib",
    "deb http://mirror.test/debian-security bookworm-security main",
  ]);
});

it("takes nothing on another distribution", () => {
  writeFileSync(join(dir, "sources.list"), "deb http://mirror.test/ubuntu noble main\n");
  expect(machineSources("bookworm", dir)).toEqual([]);
});
