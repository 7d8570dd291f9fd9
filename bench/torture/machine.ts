import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A process as the machine sees it. */
export interface MachineProcess {
  pid: number;
  command: string;
  /** Modal's id of the sandbox that it is in. */
  sandbox: string | undefined;
  /** Its id in there. */
  innerPid: number;
  /** The guest's id of the process of Claude that it belongs to. */
  owner: string | undefined;
}

/** The engine's name for itself; it is part of the name of its control groups. */
export function instanceOf(dataDir: string): string {
  for (const { command } of processesOf(dataDir, "")) {
    const instance = /"instance":"(\w+)"/.exec(command)?.[1];
    if (instance !== undefined) return instance;
  }
  throw new Error(`no keeper runs for ${dataDir}`);
}

/** Every process of one installation: by data directory, or by the control group of its sandboxes. */
export function processesOf(dataDir: string, instance: string): MachineProcess[] {
  const found: MachineProcess[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const seen = look(Number(name), dataDir, instance);
    if (seen !== undefined) found.push(seen);
  }
  return found;
}

function look(pid: number, dataDir: string, instance: string): MachineProcess | undefined {
  try {
    const group = /\/holdfast-(\w+)\/(?:account-\d+\/)?(sb-[^/\s]+)/.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"));
    if (group !== null && group[1] !== instance) return undefined;
    const sandbox = group?.[2];
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    if (command === "") return undefined;
    const environment = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
    if (group === null && !`${command} ${environment.join(" ")}`.includes(dataDir)) return undefined;
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    if (/^State:\s*[ZX]/m.test(status)) return undefined;
    const innerPid = Number(/^NSpid:.*\t(\d+)$/m.exec(status)?.[1] ?? pid);
    const owner = environment.find((line) => line.startsWith("HOLDFAST_PROCESS="))?.slice("HOLDFAST_PROCESS=".length);
    return { pid, command, sandbox, innerPid, owner };
  } catch {
    // It ended while we looked.
    return undefined;
  }
}

export const isGuest = ({ command }: MachineProcess) => /guest\.mjs daemon/.test(command);
export const isLink = ({ command }: MachineProcess) => /^socat - UNIX-CONNECT/.test(command);
export const isClaude = ({ command }: MachineProcess) => /^(\/\S+\/)?claude -p /.test(command);
export const isRunuser = ({ command }: MachineProcess) =>
  /^runuser -u claudeuser (-g \S+ )?(-G \S+ )?-- (\/\S+\/)?claude /.test(command);
export const isInit = ({ innerPid, sandbox }: MachineProcess) => sandbox !== undefined && innerPid === 1;

/** A path as a sandbox sees it, as the machine can open it. Links are followed within the sandbox. */
export function inside(initPid: number, path: string): string {
  const root = `/proc/${initPid}/root`;
  let resolved = "";
  for (const part of path.split("/").filter((each) => each !== "")) {
    resolved += `/${part}`;
    try {
      const target = readlinkSync(root + resolved);
      resolved = target.startsWith("/") ? target : `${resolved.slice(0, resolved.lastIndexOf("/"))}/${target}`;
    } catch {
      // Not a link.
    }
  }
  return root + resolved;
}
