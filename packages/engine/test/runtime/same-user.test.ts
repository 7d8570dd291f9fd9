import { chmodSync, copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Machine, printSkipReason } from "./_machine.ts";
import { SYS } from "./_raw.ts";

/**
 * A program that its user can run and not read, as the CLI is: no other process of that user looks into it, writes into
 * it, traces it or takes what it holds open, while debuggers of one's own programs go on working.
 */
const ways: [name: string, perl: string][] = [
  ...["maps", "environ", "auxv", "mem", "io", "syscall", "stack", "smaps"].map((file): [string, string] => [
    `read ${file}`,
    `open(my $f, "<", "/proc/$pid/${file}") or return 0; defined sysread($f, my $b, 1) || $!{EIO}`,
  ]),
  ["write mem", `open(my $f, "+<", "/proc/$pid/mem")`],
  ["write mem of its thread", `open(my $f, "+<", "/proc/$pid/task/$pid/mem")`],
  ["write its output", `open(my $f, ">", "/proc/$pid/fd/1")`],
  ["write its input", `open(my $f, ">", "/proc/$pid/fd/0")`],
  ["list its descriptors", `opendir(my $d, "/proc/$pid/fd") or return 0; scalar grep { /[0-9]/ } readdir($d)`],
  ...["cwd", "root", "exe"].map((link): [string, string] => [
    `follow ${link}`,
    `defined readlink("/proc/$pid/${link}")`,
  ]),
  [
    "attach to it",
    `if (syscall(${SYS.ptrace}, 16, $pid, 0, 0) == 0) { waitpid($pid, 0x40000000); syscall(${SYS.ptrace}, 17, $pid, 0, 0); 1 } else { 0 }`,
  ],
  ["seize it", `syscall(${SYS.ptrace}, 0x4206, $pid, 0, 0) == 0`],
  // An address that is not mapped is EFAULT to whoever may look.
  ["read its memory", vm(SYS.processVmReadv)],
  ["write its memory", vm(SYS.processVmWritev)],
  ["compare its files", `syscall(${SYS.kcmp}, $$ + 0, $pid, 0, 0, 0) >= 0`],
  ["take its descriptor", `my $p = syscall(${SYS.pidfdOpen}, $pid, 0); syscall(${SYS.pidfdGetfd}, $p, 1, 0) >= 0`],
];

function vm(call: number): string {
  return `my $b = "x" x 8; my $v = pack("PQ", $b, 8); my $far = pack("QQ", 8, 8);
    syscall(${call}, $pid, $v, 1, $far, 1, 0) >= 0 || $!{EFAULT}`;
}

/** What only the machine's own rules open, or nothing does: not part of the control. */
const neverOpen = ["stack", "take its descriptor"];

describe.skipIf(printSkipReason() || process.arch !== "x64" || !existsSync("/usr/bin/perl"))("the same user", () => {
  let machine: Machine;
  let sandboxId: string;

  beforeAll(async () => {
    machine = await Machine.start();
    for (const [folder, mode] of [
      ["closed", 0o711],
      ["open", 0o755],
    ] as const) {
      mkdirSync(join(machine.layer, folder));
      copyFileSync("/bin/busybox", join(machine.layer, folder, "sleep"));
      chmodSync(join(machine.layer, folder, "sleep"), mode);
    }
    sandboxId = await machine.create({
      mounts: [{ source: "/usr", target: "/usr", readOnly: true, idmapped: false }],
    });
  });
  afterAll(() => machine[Symbol.asyncDispose]());

  const asUser = (command: string) => ({ args: ["/bin/su", "claudeuser", "-c", command] });
  const perlAs = (user: string, script: string) =>
    user === "root" ? { args: ["/usr/bin/perl", "-e", script] } : asUser(`exec /usr/bin/perl -e '${script}'`);

  async function victim(program: string): Promise<number> {
    const execId = await machine.start(sandboxId, "", asUser(`echo pid $$; exec ${program} 100000`));
    const said = await machine.readUntil(sandboxId, execId, "\n");
    const pid = Number(/pid (\d+)/.exec(said)?.[1]);
    await expect
      .poll(async () => (await machine.run(sandboxId, `cat /proc/${pid}/cmdline`)).stdout.replaceAll("\0", " "))
      .toBe(`${program} 100000 `);
    return pid;
  }

  async function openWays(pid: number, user: string): Promise<string[]> {
    const tries = ways.map(([name, perl]) => `print "${name}\\n" if sub { ${perl} }->();`);
    const script = `use Errno; my $pid = ${pid}; ${tries.join("\n")} print "end\\n";`;
    const { stdout, stderr } = await machine.run(sandboxId, "", perlAs(user, script));
    expect(stderr).toBe("");
    const lines = stdout.trim().split("\n");
    expect(lines.pop()).toBe("end");
    return lines;
  }

  it("reaches into any readable program of its own: the attempts can succeed", async () => {
    const open = await openWays(await victim("/open/sleep"), "claudeuser");
    const expected = ways.map(([name]) => name).filter((name) => !neverOpen.some((part) => name.includes(part)));
    expect(open).toEqual(expect.arrayContaining(expected));
  });

  it("reaches into a program that it cannot read by no way", async () => {
    expect(await openWays(await victim("/closed/sleep"), "claudeuser")).toEqual([]);
  });

  it("nor does the sandbox's root, but for names of what is open", async () => {
    const harmless = ["list its descriptors"];
    const open = await openWays(await victim("/closed/sleep"), "root");
    expect(open.filter((way) => !harmless.includes(way))).toEqual([]);
  });

  it("keeps its program closed to what the program starts, and the program's children open", async () => {
    const { stdout } = await machine.run(
      sandboxId,
      "",
      asUser("/bin/sh -c 'cat /proc/self/environ >/dev/null && echo child open; kill -0 $$ && echo signals'"),
    );
    expect(stdout).toBe("child open\nsignals\n");
  });

  it("debugs its own: traces what it starts, attaches to what runs, reads and writes its memory", async () => {
    const running = await victim("/open/sleep");
    const script = `
      my $child = fork();
      if ($child == 0) { syscall(${SYS.ptrace}, 0, 0, 0, 0) == 0 or exit 9; exec "/bin/true" }
      waitpid($child, 0);
      my ($data, $word) = ("\\0" x 512, 0);
      print "registers ", syscall(${SYS.ptrace}, 12, $child, 0, $data), "\\n";
      syscall(${SYS.ptrace}, 7, $child, 0, 0); waitpid($child, 0); print "exit $?\\n";
      print "attach ", syscall(${SYS.ptrace}, 16, ${running}, 0, 0), "\\n"; waitpid(${running}, 0x40000000);
      open(my $maps, "<", "/proc/${running}/maps"); my ($start) = grep { / rw-p / } <$maps>; $start =~ s/-.*//s;
      open(my $mem, "+<", "/proc/${running}/mem"); sysseek($mem, hex($start), 0); sysread($mem, my $was, 8);
      sysseek($mem, hex($start), 0); print "written ", syswrite($mem, $was), "\\n";
      syscall(${SYS.ptrace}, 17, ${running}, 0, 0);`;
    const { stdout, stderr } = await machine.run(sandboxId, "", asUser(`exec /usr/bin/perl -e '${script}'`));
    expect([stdout, stderr]).toEqual(["registers 0\nexit 0\nattach 0\nwritten 8\n", ""]);
  });
});
