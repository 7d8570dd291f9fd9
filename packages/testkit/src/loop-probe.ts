/**
 * Loaded by `--import` into a process that is watched: tells over IPC how long its event loop was kept from its next
 * turn. Counted is what the thread itself computed meanwhile, not how long it stood in the line for a processor that
 * other programs have: that is no fault of the process, and on a busy machine would drown the rest.
 */
const everyMs = 10;
let longestMs = 0;
let before = cpuMs();

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function look(): void {
  const now = cpuMs();
  longestMs = Math.max(longestMs, everyMs + now - before);
  before = now;
}

setInterval(look, everyMs).unref();
process.on("message", (asked) => {
  look();
  process.send?.({ maxMs: longestMs });
  if (asked === "reset") longestMs = 0;
});
// Being watched must not keep it alive.
process.channel?.unref();
