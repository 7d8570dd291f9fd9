import { closeSync, existsSync, openSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOST_ID_BASE, Machine, printSkipReason } from "./_machine.ts";
import { hostPids, namespaceOwner, SYS, taker } from "./_raw.ts";

/**
 * What the kernel counts per user and not per cgroup: what one account takes, another does not miss. Each attempt has
 * a bound of its own below what the machine has, for the case that nothing else bounds it.
 */
const LIMITS = {
  pendingSignals: 100,
  messageQueueBytes: 400_000,
  processes: 60,
  inotifyInstances: 16,
  inotifyWatches: 20,
};
const B_BASE = HOST_ID_BASE + 65_536;
/** What root on the host would be charged with, were it the owner. */
const HOST_ROOT = 0;

interface Counter {
  name: string;
  take: string;
  before?: string;
  /** Tries of account A; far below what the machine has. */
  most: number;
  /** How many A may get at most. */
  bound: number;
  /** What A's other sandbox hears; undefined: its processes are counted apart. */
  second?: string;
}

const counters: Counter[] = [
  {
    name: "inotify instances",
    take: `my $fd = syscall(${SYS.inotifyInit1}, 0); push @kept, $fd; $fd`,
    most: 40,
    bound: LIMITS.inotifyInstances,
    second: "EMFILE",
  },
  {
    name: "inotify watches",
    before: `my $fd = syscall(${SYS.inotifyInit1}, 0); mkdir "/tmp/w"; my $i = 0;`,
    take: `my $p = "/tmp/w/" . $i++; open(my $f, ">", $p); syscall(${SYS.inotifyAddWatch}, $fd, $p, 2)`,
    most: 60,
    bound: LIMITS.inotifyWatches,
    second: "ENOSPC",
  },
  {
    name: "message queues",
    before: "my $i = 0;",
    take: `my $q = "q" . $i++; my $attr = pack("q8", 0, 10, 8192, 0, 0, 0, 0, 0); syscall(${SYS.mqOpen}, $q, 66, 0600, $attr)`,
    most: 9,
    bound: 4,
    second: "EMFILE",
  },
  {
    name: "timers",
    take: `my $id = "\\0" x 8; syscall(${SYS.timerCreate}, 1, 0, $id)`,
    most: 300,
    bound: LIMITS.pendingSignals,
    second: "EAGAIN",
  },
  {
    name: "queued signals",
    before: `use POSIX ":signal_h"; my $s = POSIX::SigSet->new(40); sigprocmask(SIG_BLOCK, $s);`,
    take: `my $info = pack("l3", 40, 0, -1) . ("\\0" x 116); syscall(${SYS.rtSigqueueinfo}, $$ + 0, 40, $info)`,
    most: 300,
    bound: LIMITS.pendingSignals,
    second: "EAGAIN",
  },
  {
    name: "open files",
    before: "use POSIX ();",
    take: `my $fd = POSIX::open("/dev/null", 0); defined $fd ? $fd : -1`,
    most: 70_000,
    bound: 65_536,
  },
];

describe.skipIf(printSkipReason() || process.arch !== "x64" || !existsSync("/usr/bin/perl"))("kernel counters", () => {
  let machine: Machine;
  let a1: string;
  let a2: string;
  let b: string;

  beforeAll(async () => {
    machine = await Machine.start({ accountLimits: LIMITS });
    const mounts = [{ source: "/usr", target: "/usr", readOnly: true, idmapped: false }];
    const limits = { pids: 200, memoryBytes: 500_000_000 };
    a1 = await machine.create({ mounts, limits });
    a2 = await machine.create({ mounts, limits });
    b = await machine.create({ mounts, limits, hostIdBase: B_BASE });
  });
  afterAll(() => machine[Symbol.asyncDispose]());

  /** Runs a taker as claudeuser and leaves it holding what it got. */
  async function take(sandboxId: string, script: string): Promise<{ execId: string; got: number; why: string }> {
    const execId = await machine.start(sandboxId, "", {
      args: ["/bin/su", "claudeuser", "-c", `exec /usr/bin/perl -e '${script}'`],
    });
    const said = await machine.readUntil(sandboxId, execId, "\n");
    const [, got, why = ""] = /took (\d+) (\w+)/.exec(said) ?? [];
    return { execId, got: Number(got), why };
  }

  async function letGo(sandboxId: string, execId: string): Promise<void> {
    await machine.runtime.writeStdin({ sandboxId, execId, offset: 0, eof: true }, new Uint8Array(0));
    await machine.finish(sandboxId, execId);
  }

  it.each(counters)(
    "one account's $name are not another's",
    async ({ take: expression, before, most, bound, second }) => {
      const hog = await take(a1, taker(expression, most, before));
      try {
        expect(hog.got).toBeGreaterThan(0);
        expect(hog.got).toBeLessThanOrEqual(bound);
        expect(hog.why).not.toBe("none");
        const own = await take(a2, taker(expression, 2, before));
        await letGo(a2, own.execId);
        if (second !== undefined) expect([own.got, own.why]).toEqual([0, second]);
        const other = await take(b, taker(expression, 2, before));
        await letGo(b, other.execId);
        expect([other.got, other.why]).toEqual([2, "none"]);
      } finally {
        await letGo(a1, hog.execId);
      }
    },
  );

  it("one account's processes are not another's, whatever the sandboxes' own limits add up to", async () => {
    const fork = `my $p = fork(); if (defined $p && $p == 0) { sleep 1000; exit 0 } push @kept, $p; defined $p ? $p : -1`;
    const hog = await take(a1, `${taker(fork, 100)} kill 9, @kept;`);
    try {
      expect(hog.got).toBeLessThan(LIMITS.processes);
      expect(hog.why).toBe("EAGAIN");
      // Not even the runtime's own process enters A's second sandbox.
      await expect(take(a2, taker(fork, 2))).rejects.toThrow();
      const other = await take(b, `${taker(fork, 2)} kill 9, @kept;`);
      await letGo(b, other.execId);
      expect([other.got, other.why]).toEqual([2, "none"]);
    } finally {
      await letGo(a1, hog.execId);
    }
    const again = await machine.run(a2, "echo again");
    expect(again.stdout).toBe("again\n");
  });

  it("are charged to the account's own host id, never to root's", () => {
    for (const base of [HOST_ID_BASE, B_BASE]) {
      const pids = hostPids(base);
      expect(pids.length).toBeGreaterThan(0);
      for (const pid of pids) {
        const fd = openSync(`/proc/${pid}/ns/user`, "r");
        try {
          expect(namespaceOwner(fd)).toBe(base);
          expect(namespaceOwner(fd)).not.toBe(HOST_ROOT);
        } finally {
          closeSync(fd);
        }
      }
    }
  });
});
