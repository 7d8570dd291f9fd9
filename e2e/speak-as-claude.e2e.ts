import { createTestKit, eventsOf, type TestKit } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

let kit: TestKit;
beforeAll(async () => {
  kit = await createTestKit({ saves: false });
});
afterAll(() => kit?.[Symbol.asyncDispose]());

const asUser = (...args: string[]) => kit.exec(["runuser", "-u", "claudeuser", "--", ...args]);

/** Prints every way by which this process reaches into process argv[1]; an attempt that succeeds is undone. */
const reach = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = sys.argv[1]
def opened(name, flags):
    os.close(os.open("/proc/%s/%s" % (pid, name), flags | os.O_NONBLOCK)); return True
def traced(request):
    if libc.ptrace(request, int(pid), 0, 0) != 0: return False
    if request == 16: os.waitpid(int(pid), 0x40000000); libc.ptrace(17, int(pid), 0, 0)
    return True
def call(number, *args):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return libc.syscall(ctypes.c_long(number), *wide) >= 0 or ctypes.get_errno() == 14
def memory(number):
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    far = (ctypes.c_size_t * 2)(8, 8)
    return call(number, int(pid), ctypes.byref(vector), 1, ctypes.byref(far), 1, 0)
ways = {name: (lambda n=name: opened(n, os.O_RDONLY)) for name in ["maps", "environ", "auxv", "mem"]}
ways["mem written"] = lambda: opened("mem", os.O_RDWR)
ways["stdin"] = lambda: opened("fd/0", os.O_WRONLY)
ways["stdout"] = lambda: opened("fd/1", os.O_WRONLY)
for link in ["cwd", "root", "exe"]: ways[link] = lambda n=link: os.readlink("/proc/%s/%s" % (pid, n))
ways["process_vm_readv"] = lambda: memory(310)
ways["process_vm_writev"] = lambda: memory(311)
ways["pidfd_getfd"] = lambda: call(438, libc.syscall(434, int(pid), 0), 1, 0)
ways["attach"] = lambda: traced(16)
ways["seize"] = lambda: traced(0x4206)
for name, way in ways.items():
    try:
        if way(): print(name)
    except OSError: pass
print("end")`;

/** Seizes whatever of its user starts, as soon as it sees it, until its input ends; prints the names at the end. */
const ambush = `
import ctypes, os, select, sys
libc = ctypes.CDLL(None, use_errno=True)
held, tried = {}, 0
print("waiting", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in held or int(name) == os.getpid(): continue
        tried += 1
        if libc.ptrace(0x4206, int(name), 0, 0) == 0: held[int(name)] = True
    while True: # What is seized stops at each signal: it goes on with it.
        try: pid, status = os.waitpid(-1, os.WNOHANG | 0x40000000)
        except ChildProcessError: break
        if pid == 0: break
        if os.WIFSTOPPED(status): libc.ptrace(7, pid, 0, 0 if status >> 16 else os.WSTOPSIG(status))
for pid in held:
    try: print("held", open("/proc/%d/comm" % pid).read().strip())
    except OSError: pass
print("tried", tried > 0)`;

async function reached(pid: string): Promise<string[]> {
  const { stdout, stderr } = await asUser("python3", "-c", reach, pid);
  const lines = stdout.trim().split("\n");
  expect([lines.pop(), stderr]).toEqual(["end", ""]);
  return lines;
}

async function pidOfClaude(): Promise<string> {
  const [pid = ""] = (await kit.exec(["pgrep", "-x", "claude"])).stdout.trim().split("\n");
  expect(pid).toMatch(/^\d+$/);
  return pid;
}

test("no process of Claude's user reaches into Claude Code by any way; into its own programs it does", async () => {
  const { events } = await kit.turn("Create a file kept.txt that says kept");
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
  expect(await reached(await pidOfClaude())).toEqual([]);
  const own = await asUser("sh", "-c", 'sleep 1000 & pid=$!; python3 -c "$0" $pid; kill $pid', reach);
  const lines = own.stdout.trim().split("\n");
  for (const way of ["maps", "mem written", "cwd", "exe", "process_vm_writev", "attach", "seize"]) {
    expect(lines).toContain(way);
  }
});

test("nor does one that lies in wait while Claude Code starts", async () => {
  const sandbox = await kit.sandbox();
  const waiting = await sandbox.exec(["runuser", "-u", "claudeuser", "--", "python3", "-c", ambush]);
  const output = waiting.stdout.getReader();
  expect((await output.read()).value).toContain("waiting");
  const { events } = await kit.turn("run `echo went well`");
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
  await waiting.stdin.writeText("\n");
  let said = "";
  for (let chunk = await output.read(); !chunk.done; chunk = await output.read()) said += chunk.value;
  expect(await waiting.wait()).toBe(0);
  expect(said).toContain("tried True");
  expect(said).not.toContain("held claude");
});

test("the guest starts the program itself, and `claude` is a launcher of mode 755 before one of 711", async () => {
  const command = (await kit.exec(["cat", `/proc/${await pidOfClaude()}/cmdline`])).stdout.split("\0");
  expect(command[0]).toBe("/usr/local/lib/claude-code/claude");
  const modes = await kit.exec(["stat", "-c", "%a %U", "/usr/local/bin/claude", "/usr/local/lib/claude-code/claude"]);
  expect(modes.stdout).toBe("755 root\n711 root\n");
  expect((await asUser("claude", "--version")).stdout).toContain("Claude Code");
  expect((await asUser("cat", "/usr/local/lib/claude-code/claude")).code).not.toBe(0);
  expect((await asUser("sh", "-c", "echo > /usr/local/lib/claude-code/claude")).code).not.toBe(0);
});

test("the sandbox's root cannot either, and a Claude Code whose guest and leader died is still ended", async () => {
  const pid = await pidOfClaude();
  const asRoot = await kit.exec(["sh", "-c", `echo forged > /proc/${pid}/fd/1; cat /proc/${pid}/mem; echo end`]);
  expect(asRoot.stdout).toBe("end\n");
  // Its environment, by which it would be found, is closed to the guest too.
  await kit.exec(["sh", "-c", "pkill -KILL -x runuser; pkill -KILL -f 'guest.mjs daemon'"]);
  const { events } = await kit.turn("list the files");
  expect(eventsOf(events, "holdfast.turn_result")[0]?.outcome).toBe("completed");
  expect((await kit.exec(["pgrep", "-x", "claude"])).stdout.trim().split("\n")).not.toContain(pid);
});
