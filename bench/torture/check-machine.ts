import { sleep } from "@holdfast/std";
import { type Installation, sweepEveryMs } from "./installation.ts";
import { isClaude, isGuest, isInit, isLink, isRunuser, type MachineProcess } from "./machine.ts";

/** A sweep may be at work when the turn ends, and needs its time on a machine that is busy. */
const settleMs = sweepEveryMs * 5;

/** What nobody wants any more after a sweep: processes, and sandboxes without a row or rows without a sandbox. */
export async function checkMachine(
  installation: Installation,
  { sessions, endedMs }: { sessions: number; endedMs: number },
): Promise<string[]> {
  const deadline = AbortSignal.timeout(settleMs);
  await sleep(Math.max(0, endedMs + sweepEveryMs - Date.now()));
  for (;;) {
    const orphans = [...(await orphanSandboxes(installation)), ...orphanProcesses(installation, sessions)];
    if (orphans.length === 0 || deadline.aborted) return orphans;
    await sleep(250);
  }
}

async function orphanSandboxes(installation: Installation): Promise<string[]> {
  const signal = AbortSignal.timeout(settleMs);
  const [running, known] = await Promise.all([
    installation.sandboxesAtProvider(),
    installation.sandboxesInRows(signal),
  ]);
  const grouped = new Set(installation.processes().flatMap(({ sandbox }) => sandbox ?? []));
  return [
    ...running.filter((id) => !known.includes(id)).map((id) => `sandbox ${id} runs without a row`),
    ...known.filter((id) => !running.includes(id)).map((id) => `row of sandbox ${id}, which does not run`),
    ...[...grouped].filter((id) => !running.includes(id)).map((id) => `processes of sandbox ${id}, which does not run`),
    ...(running.length > 1 ? [`${running.length} sandboxes for one workspace`] : []),
  ];
}

function orphanProcesses(installation: Installation, sessions: number): string[] {
  const all = installation.processes();
  const sandboxed = all.filter(({ sandbox }) => sandbox !== undefined);
  const guests = sandboxed.filter(isGuest);
  const claudes = sandboxed.filter(isClaude);
  const links = sandboxed.filter(isLink);
  const orphans = sandboxed.filter((each) => !isExpected(each)).map(told);
  if (guests.length > 1) orphans.push(...guests.map(told));
  if (claudes.length > sessions) orphans.push(...claudes.map(told));
  if (links.length > 1) orphans.push(...links.map(told));
  for (const name of ["server", "engine", "gateway", "s3"]) {
    const services = all.filter(({ command }) => command.includes(`/packages/${name}/src/main.ts`));
    if (services.length !== 1) orphans.push(`${services.length} processes of the ${name}`);
  }
  for (const part of ["keeper", "network/egress"]) {
    const parts = all.filter(({ command }) => command.includes(`/engine/src/${part}/main.ts`));
    if (parts.length !== 1) orphans.push(`${parts.length} processes of ${part}`);
  }
  return orphans;
}

const isExpected = (each: MachineProcess) =>
  [isInit, isGuest, isClaude, isRunuser, isLink].some((is) => is(each)) || /^sleep 86400$/.test(each.command);

const told = ({ pid, sandbox, command }: MachineProcess) => `process ${pid} in ${sandbox}: ${command.slice(0, 120)}`;
