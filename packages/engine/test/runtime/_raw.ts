import { readdirSync } from "node:fs";
import koffi from "koffi";
import { uidOf } from "./_machine.ts";

/** Numbers of x86-64, for perl's `syscall`. */
export const SYS = {
  ptrace: 101,
  processVmReadv: 310,
  processVmWritev: 311,
  kcmp: 312,
  pidfdOpen: 434,
  pidfdGetfd: 438,
  rtSigqueueinfo: 129,
  timerCreate: 222,
  mqOpen: 240,
  inotifyInit1: 294,
  inotifyAddWatch: 254,
} as const;

const NS_GET_OWNER_UID = 0xb704;

/** The host's process ids of everything that runs as one of an account's ids. */
export function hostPids(hostIdBase: number): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => uidOf(pid) >= hostIdBase && uidOf(pid) < hostIdBase + 65_536)
    .map(Number);
}

/** The uid that made a user namespace, at which the kernel counts for everybody in it. `fd` is open on `/proc/PID/ns/user`. */
export function namespaceOwner(fd: number): number {
  const ioctl = koffi.load(null).func("int ioctl(int fd, ulong request, void *argument)");
  const owner = Buffer.alloc(4);
  if (ioctl(fd, NS_GET_OWNER_UID, owner) < 0) throw new Error(`ioctl NS_GET_OWNER_UID: errno ${koffi.errno()}`);
  return owner.readUInt32LE(0);
}

/**
 * Perl that takes one thing after the other until it is refused or has `most`, prints how many and why it stopped, and
 * keeps them until its standard input ends. `take` is an expression, below zero when refused.
 */
export function taker(take: string, most: number, before = ""): string {
  return `use Errno; $| = 1; ${before} my $n = 0; my $why = "none"; my @kept;
    while ($n < ${most}) { $! = 0; my $r = do { ${take} }; if (!defined $r || $r < 0) { $why = (sort grep { $!{$_} } keys %!)[0] // "?"; last } $n++ }
    print "took $n $why\\n"; my $line = <STDIN>;`;
}
