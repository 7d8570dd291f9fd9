import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
// @ts-expect-error: plain JavaScript, so that any Node can run it before anything is installed
import { judge } from "./preflight.mjs";

interface Point {
  name: string;
  verdict: "ok" | "note" | "stop";
  text: string;
  way?: string;
}

const debian = {
  platform: "linux",
  arch: "x64",
  kernel: "6.1.0-30-amd64",
  osRelease: 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
  wsl: false,
  uid: 0,
  sudo: false,
  apt: true,
  container: false,
  maxUserNamespaces: "96365",
  apparmorUserns: "",
  mountWorks: true,
  usernsWorks: true,
  cgroup: "v2",
  freeBytes: 50e9,
  memoryBytes: 16e9,
};

const point = (machine: object, name: string): Point | undefined =>
  (judge({ ...debian, ...machine }) as Point[]).find((each) => each.name === name);

test("a plain Debian passes without a note", () => {
  expect((judge(debian) as Point[]).every((each) => each.verdict === "ok")).toBe(true);
});

test.each([
  ["macOS", { platform: "darwin" }, "system"],
  ["a system without apt", { apt: false }, "system"],
  ["an unknown processor", { arch: "riscv64" }, "processor"],
  ["an old kernel", { kernel: "5.10.0-8-amd64" }, "kernel"],
  ["neither root nor sudo", { uid: 1000 }, "rights"],
  ["a container that may not mount", { container: true, mountWorks: false }, "rights"],
  ["no user namespaces", { maxUserNamespaces: "0" }, "user namespaces"],
  ["namespaces refused by AppArmor", { usernsWorks: false, apparmorUserns: "1" }, "user namespaces"],
  ["a full disk", { freeBytes: 1e9 }, "space"],
])("%s is a stop with a way out", (_what, machine, name) => {
  expect(point(machine, name)).toMatchObject({ verdict: "stop", way: expect.stringMatching(/\w{3}/) });
});

test.each([
  ["WSL2", { wsl: true }, "system"],
  ["arm64", { arch: "arm64" }, "processor"],
  ["Ubuntu 24.04's AppArmor for a user with sudo", { uid: 1000, sudo: true, apparmorUserns: "1" }, "user namespaces"],
  ["no cgroups", { cgroup: "none" }, "cgroups"],
])("%s is a note", (_what, machine, name) => {
  expect(point(machine, name)?.verdict).toBe("note");
});

test("it answers on this machine within two seconds", () => {
  const path = fileURLToPath(new URL("preflight.mjs", import.meta.url));
  expect(execFileSync(process.execPath, [path], { encoding: "utf8", timeout: 2000 })).toContain("ok    kernel");
});
