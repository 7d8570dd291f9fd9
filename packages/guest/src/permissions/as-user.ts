/** Everything that `work` does, which must be synchronous, is done with the rights of the user alone. */
export function asUser<T>({ uid, gid }: { uid: number; gid: number }, work: () => T): T {
  const groups = process.getgroups?.() ?? [];
  process.setgroups?.([gid]);
  process.setegid?.(gid);
  process.seteuid?.(uid);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.(groups);
  }
}
