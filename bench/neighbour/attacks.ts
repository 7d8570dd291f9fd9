import type { Attacker } from "./attacker.ts";

/** Something that one account can do to all; runs until the signal. What lasts goes with the account. */
export interface Attack {
  name: string;
  run: (attacker: Attacker, signal: AbortSignal) => Promise<void>;
}

const workspace = "/mnt/workspace";
const many = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));

/** Again and again until the signal. */
async function over(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) await work();
}

const python = (script: string) => `python3 - <<'END'\n${script}\nEND`;

const counters = python(`
import ctypes, time
libc = ctypes.CDLL(None)
for _ in range(100000):
    if libc.inotify_init() < 0: break
for n in range(2000):
    if libc.mq_open(b"/a%d" % n, 0o102, 0o600, None) < 0: break
timer = ctypes.c_void_p()
for _ in range(200000):
    if libc.timer_create(0, None, ctypes.byref(timer)) < 0: break
time.sleep(100)`);

const forks = python(`
import os
while True:
    try: os.fork()
    except OSError: pass`);

const memory = python(`
kept = []
while True:
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    kept.append(block)`);

const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
const wide = (keys: number) => JSON.stringify(Object.fromEntries(many(keys, (n) => [`key${n}`, "v"])));
const session = (more: string) => `{"agent":"agent_default","environment_id":"env_default",${more}}`;
const message = (content: string) => `{"events":[{"type":"user.message","content":[${content}]}]}`;
const text = (words: string) => JSON.stringify({ type: "text", text: words });

/** Made once, and as they are sent: A's clients shall take little of the machine. */
const requests = [
  ["/v1/sessions", session(`"metadata":${wide(200_000)}`)],
  ["/v1/sessions", wide(250_000)],
  ["/v1/sessions", session(`"metadata":${deep(100_000)}`)],
  ["/v1/agents", `{"name":"x","model":"x","tools":[${many(100_000, () => "{}").join()}]}`],
  ["/v1/login", `{"token":"${"x".repeat(4_000_000)}"}`],
].map(([path = "", body]) => ({ path, body: Buffer.from(body ?? "") }));

/** As long as one may be. */
const longMessage = Buffer.from(message(text("x".repeat(1_000_000))));
const largeMessages = [
  Buffer.from(message(text("x".repeat(3_000_000)))),
  Buffer.from(message(many(50_000, () => text("x")).join())),
];

export const attacks: Attack[] = [
  {
    name: "bytes: fallocate in the workspace and on the sandbox's own disk",
    run: async (a, signal) => {
      const fill = (dir: string) =>
        `cd ${dir} && for n in $(seq 24); do fallocate -l 500M fill.$n || break; done; sleep 100`;
      await Promise.all([a.exec(fill(workspace), { signal }), a.exec(fill("/tmp"), { signal, user: "root" })]);
    },
  },
  {
    name: "inodes: 40 000 files in one directory",
    run: (a, signal) => a.exec("mkdir -p /tmp/many && cd /tmp/many && seq 40000 | xargs touch; sleep 100", { signal }),
  },
  {
    name: "output: eight times yes, read by nobody",
    run: (a, signal) => Promise.all(many(8, () => a.exec("yes", { signal, read: false }))).then(() => undefined),
  },
  {
    name: "output: yes in execs that end, repeated",
    run: (a, signal) => over(signal, () => a.exec("timeout 1 yes", { signal })),
  },
  {
    name: "requests: wide, deep, long and unauthenticated ones",
    run: (a, signal) =>
      over(signal, () =>
        Promise.all(requests.map(({ path, body }) => a.post(path, body, signal))).then(() => undefined),
      ),
  },
  {
    name: "messages of 3 MB and of 50 000 parts",
    run: (a, signal) =>
      over(signal, async () => {
        const path = `/v1/sessions/${a.sessionId}/events`;
        for (const body of largeMessages) await a.post(path, body, signal);
      }),
  },
  {
    name: "kernel counters: inotify, message queues, timers",
    run: (a, signal) => Promise.all(many(4, () => a.exec(counters, { signal }))).then(() => undefined),
  },
  {
    name: "processes: forks without end",
    run: (a, signal) => a.exec(forks, { signal }),
  },
  {
    name: "memory: six that take all they get, over and over",
    run: (a, signal) =>
      Promise.all(many(6, () => over(signal, () => a.exec(memory, { signal })))).then(() => undefined),
  },
  {
    name: "processors: eight busy loops",
    run: (a, signal) => Promise.all(many(8, () => a.exec("while :; do :; done", { signal }))).then(() => undefined),
  },
  {
    name: "sandboxes: eight more, and busy loops in each",
    run: async (a, signal) => {
      await Promise.all(many(8, (n) => a.turnElsewhere(`more-${n}`, signal)));
      if (!signal.aborted) await a.execEverywhere("while :; do :; done & while :; do :; done", signal);
    },
  },
  {
    name: "execs: forty at once, over and over",
    run: (a, signal) =>
      Promise.all(many(40, () => over(signal, () => a.exec("true", { signal })))).then(() => undefined),
  },
  {
    name: "streams: two hundred that nobody reads",
    run: async (a, signal) => {
      const path = `/v1/sessions/${a.sessionId}/events`;
      // More than what lies between a server and a client who does not read.
      for (let n = 0; n < 3; n++) await a.post(path, longMessage, signal);
      await Promise.all(many(200, () => a.request(`${path}/stream?after=0`, { signal, read: false })));
    },
  },
];
