/** Whether a failure is that there is no space left, anywhere down its causes. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  // SQLITE_FULL is 13; the extended codes of SQLITE_IOERR (10) are what a full file system gives at times.
  const sqliteFull = typeof errcode === "number" && (errcode === 13 || (errcode & 0xff) === 10);
  // 53100: PostgreSQL says so of its own disk.
  return code === "ENOSPC" || code === "53100" || sqliteFull || isDiskFull(error.cause);
}
