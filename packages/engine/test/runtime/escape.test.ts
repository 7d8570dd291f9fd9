import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Machine, printSkipReason } from "./_machine.ts";

/**
 * What a sandbox tries, as root inside and as another user, with raw system calls through the machine's own perl. Each
 * attempt assumes that the hole exists: nothing it would change is left changed, and it connects to nothing.
 */
interface Attempt {
  name: string;
  /** Perl that returns the call's result; below zero or false is a refusal. */
  perl: string;
  /** Names of errnos that count as refused. */
  refused: string[];
}

const NOT_THERE = ["ENOSYS"];
const DENIED = ["EPERM", "ENOSYS"];

/** Numbers of x86-64. */
const attempts: Attempt[] = [
  { name: "mount a tmpfs", perl: `sc(165, "none", "/mnt", "tmpfs", 0, 0)`, refused: NOT_THERE },
  { name: "remount the root", perl: `sc(165, "none", "/", "none", 32, 0)`, refused: NOT_THERE },
  { name: "unmount a mask", perl: `sc(166, "/proc/kcore", 2)`, refused: NOT_THERE },
  { name: "pivot_root", perl: `sc(155, "/", "/mnt")`, refused: NOT_THERE },
  { name: "fsopen", perl: `sc(430, "tmpfs", 0)`, refused: NOT_THERE },
  { name: "open_tree", perl: `sc(428, -100, "/", 1)`, refused: NOT_THERE },
  { name: "move_mount", perl: `sc(429, -1, "", -100, "/mnt", 4)`, refused: NOT_THERE },
  { name: "mount_setattr", perl: `sc(442, -100, "/", 0, "\\0" x 32, 32)`, refused: NOT_THERE },
  { name: "unshare a user and mount namespace", perl: `sc(272, 0x10020000)`, refused: DENIED },
  { name: "unshare a mount namespace", perl: `sc(272, 0x20000)`, refused: DENIED },
  {
    name: "clone into a user namespace",
    perl: `my $p = sc(56, 0x10000011, 0, 0, 0, 0); exit 0 if $p == 0; $p`,
    refused: DENIED,
  },
  { name: "clone3", perl: `sc(435, "\\0" x 64, 64)`, refused: NOT_THERE },
  {
    name: "setns",
    perl: `open(my $f, "<", "/proc/1/ns/mnt") or return -1; sc(308, fileno($f), 0)`,
    refused: [...DENIED, "EACCES"],
  },
  { name: "pidfd_getfd", perl: `sc(438, sc(434, $$, 0), 0, 0)`, refused: NOT_THERE },
  { name: "bpf", perl: `sc(321, 0, "\\0" x 64, 64)`, refused: NOT_THERE },
  { name: "perf_event_open", perl: `sc(298, "\\0" x 128, 0, -1, -1, 0)`, refused: NOT_THERE },
  { name: "userfaultfd", perl: `sc(323, 1)`, refused: NOT_THERE },
  { name: "io_uring_setup", perl: `sc(425, 1, "\\0" x 120)`, refused: NOT_THERE },
  // One bound for the whole machine (fs.aio-max-nr); a success is freed again.
  {
    name: "io_setup",
    perl: `my $c = "\\0" x 8; my $r = sc(206, 1, $c); sc(207, unpack("Q", $c)) if $r == 0; $r`,
    refused: NOT_THERE,
  },
  { name: "io_submit", perl: `sc(209, 0, 0, 0)`, refused: NOT_THERE },
  { name: "keyctl", perl: `sc(250, 0, -3, 0)`, refused: NOT_THERE },
  { name: "add_key", perl: `sc(248, "user", "x", "y", 1, -3)`, refused: NOT_THERE },
  { name: "name_to_handle_at", perl: `sc(303, -100, "/", "\\0" x 136, "\\0" x 8, 0)`, refused: NOT_THERE },
  { name: "open_by_handle_at", perl: `sc(304, -100, "\\0" x 136, 0)`, refused: NOT_THERE },
  { name: "kexec_load", perl: `sc(246, 0, 0, 0, 0)`, refused: NOT_THERE },
  { name: "init_module", perl: `sc(175, 0, 0, "")`, refused: NOT_THERE },
  { name: "finit_module", perl: `sc(313, -1, "", 0)`, refused: NOT_THERE },
  { name: "settimeofday", perl: `sc(164, 0, 0)`, refused: NOT_THERE },
  { name: "swapon", perl: `sc(167, "/none", 0)`, refused: NOT_THERE },
  { name: "acct", perl: `sc(163, "/none/none")`, refused: NOT_THERE },
  { name: "quotactl", perl: `sc(179, 0, 0, 0, 0)`, refused: NOT_THERE },
  { name: "iopl", perl: `sc(172, 0)`, refused: NOT_THERE },
  { name: "syslog", perl: `sc(103, 10, 0, 0)`, refused: NOT_THERE },
  { name: "a vsock socket", perl: `sc(41, 40, 1, 0)`, refused: ["EAFNOSUPPORT"] },
  { name: "a packet socket", perl: `sc(41, 17, 3, 0)`, refused: ["EAFNOSUPPORT"] },
  { name: "a crypto socket", perl: `sc(41, 38, 5, 0)`, refused: ["EAFNOSUPPORT"] },
  { name: "an audit socket", perl: `sc(41, 16, 3, 9)`, refused: ["EAFNOSUPPORT"] },
  { name: "a raw socket", perl: `sc(41, 2, 3, 1)`, refused: ["EPERM"] },
  { name: "a node of the disk", perl: `sc(133, "/tmp/disk", 0x6000 | 0600, 0xfe00)`, refused: ["EPERM"] },
  { name: "a node of memory", perl: `sc(133, "/tmp/mem", 0x2000 | 0600, 0x101)`, refused: ["EPERM"] },
  {
    name: "all capabilities",
    perl: `sc(126, pack("LL", 0x20080522, 0), pack("L6", (0xffffffff) x 6))`,
    refused: ["EPERM"],
  },
];

/** Shell that must not change the machine: [command, host file that must stay as it is]. */
const writes: [string, string][] = [
  ["echo '|/bin/false' >/proc/sys/kernel/core_pattern", "/proc/sys/kernel/core_pattern"],
  ["echo /bin/false >/proc/sys/kernel/modprobe", "/proc/sys/kernel/modprobe"],
  ["echo 1 >/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_forward"],
  ["echo 11 >/proc/sys/vm/swappiness", "/proc/sys/vm/swappiness"],
];

describe.skipIf(printSkipReason() || process.arch !== "x64" || !existsSync("/usr/bin/perl"))("escape attempts", () => {
  let machine: Machine;
  let sandboxId: string;

  beforeAll(async () => {
    machine = await Machine.start();
    sandboxId = await machine.create({
      mounts: [{ source: "/usr", target: "/usr", readOnly: true, idmapped: false }],
      limits: { pids: 200, memoryBytes: 500_000_000 },
    });
  });
  afterAll(() => machine[Symbol.asyncDispose]());

  const perl = (code: string) =>
    `use Errno; sub sc { my @a = @_; my $n = shift @a; syscall($n, @a) } $! = 0; my $r = sub { ${code} }->(); print $r >= 0 ? "succeeded $r" : (grep { $!{$_} } keys %!)[0];`;

  for (const user of ["root", "claudeuser"]) {
    it(`refuses system calls to ${user}`, async () => {
      const wrong: string[] = [];
      for (const attempt of attempts) {
        const script = perl(attempt.perl);
        const args =
          user === "root" ? ["/usr/bin/perl", "-e", script] : ["/bin/su", user, "-c", `/usr/bin/perl -e '${script}'`];
        const { stdout, stderr } = await machine.run(sandboxId, "", { args });
        if (!attempt.refused.includes(stdout)) wrong.push(`${attempt.name}: ${stdout} ${stderr}`);
      }
      expect(wrong).toEqual([]);
    });
  }

  it("the probe itself would notice an open door", async () => {
    const { stdout } = await machine.run(sandboxId, "", { args: ["/usr/bin/perl", "-e", perl("sc(39)")] });
    expect(stdout).toMatch(/^succeeded \d+$/);
  });

  it("leaves the machine's kernel settings alone", async () => {
    for (const [command, file] of writes.filter(([, path]) => existsSync(path))) {
      const before = readFileSync(file, "utf8");
      try {
        const { stderr } = await machine.run(sandboxId, command);
        expect(stderr, command).toMatch(/Read-only file system|Permission denied|nonexistent/);
        expect(readFileSync(file, "utf8"), file).toBe(before);
      } finally {
        if (readFileSync(file, "utf8") !== before) writeFileSync(file, before);
      }
    }
  });

  it("sees no process, mount, descriptor, kernel memory or key of the machine", async () => {
    const look = async (command: string) => (await machine.run(sandboxId, command)).stdout;
    expect(await look("ls /proc | grep -c '^[0-9]'")).toMatch(/^[1-5]\n$/);
    expect(await look("readlink /proc/1/exe")).toBe("/bin/busybox\n");
    expect(await look("cat /proc/kcore | head -c 1 | wc -c; cat /proc/keys 2>/dev/null | wc -c")).toBe("0\n0\n");
    expect(
      await look("ls -l /proc/self/fd /proc/1/fd | grep -vE 'pipe:|/dev/null|total|^/|^$|cannot' | grep -c -- '->'"),
    ).toBe("0\n");
    expect(await look("grep -c holdfast /proc/self/mountinfo; ls /sys | wc -l")).not.toContain(machine.stateDir);
    expect(await look("cat /proc/self/cgroup | grep -c holdfast")).toBe("0\n");
  });

  it("learns nothing of the machine's start, disks, interrupts, modules or locks, nor where its data lies", async () => {
    const facts = "cmdline config.gz diskstats interrupts key-users locks mdstat modules partitions swaps".split(" ");
    const readable = facts.filter((name) => existsSync(`/proc/${name}`));
    expect(readable).toEqual(expect.arrayContaining(["cmdline", "interrupts", "diskstats", "partitions", "locks"]));
    const { stdout } = await machine.run(
      sandboxId,
      `for name in ${readable.join(" ")}; do echo $name $(head -c 1 /proc/$name | wc -c); done`,
    );
    expect(stdout.trim().split("\n")).toEqual(readable.map((name) => `${name} 0`));
    const mounts = await machine.run(sandboxId, "cat /proc/self/mountinfo /proc/self/mountstats /proc/mounts");
    expect(mounts.stdout).toContain(" / ");
    expect(mounts.stdout).not.toContain(machine.dir);
    expect(mounts.stdout).not.toContain(machine.dir.split("/").at(-1));
    const writes = await machine.run(
      sandboxId,
      `for name in ${readable.join(" ")}; do echo x 2>/dev/null >/proc/$name && echo $name; done; ls -l /proc/cmdline`,
    );
    expect(writes.stdout).toContain("/proc/cmdline");
  });

  it("cannot climb out of a chroot", async () => {
    const climb = `mkdir "/tmp/c"; opendir(my $d, "/"); chroot "/tmp/c"; chdir $d; chdir ".." for 1..40; chroot "."; print -e "/bin/busybox" && !-e "/boot" && !-e "/var/lib/dpkg" ? "inside" : "outside"`;
    const { stdout } = await machine.run(sandboxId, "", { args: ["/usr/bin/perl", "-e", climb] });
    expect(stdout).toBe("inside");
  });

  it("cannot raise its priority or its immunity to the memory killer", async () => {
    const { stdout } = await machine.run(
      sandboxId,
      "echo -1000 >/proc/self/oom_score_adj 2>/dev/null && echo immune; nice -n -20 nice 2>/dev/null | grep -e -; hostname evil 2>/dev/null && echo renamed; echo end",
    );
    expect(stdout).toBe("end\n");
  });

  it("reaches only its own network namespace", async () => {
    const { stdout } = await machine.run(
      sandboxId,
      "ip -o link | cut -d: -f2; ip link set lo up 2>/dev/null && echo changed",
    );
    expect(stdout).toBe(" lo\n");
  });
});
