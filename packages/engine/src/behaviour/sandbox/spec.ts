import { isIP } from "node:net";
import { posix } from "node:path";
import type { EngineOptions } from "../../config/options.ts";
import { refuse } from "../../errors.ts";
import { shown } from "../../ids.ts";
import type { NetworkPolicy } from "../../network/types.ts";
import type { NetworkAccess, PtyInfo, SandboxDefinition, SandboxTag, VolumeMount } from "../../proto/messages.ts";
import type { SandboxLimits } from "../../runtime/types.ts";
import { refuseNotDone } from "../options.ts";

/** A sandbox as it was asked for, checked; kept in the state. Holds no secret values. */
export interface StoredSpec {
  imageId: string;
  /** Empty: the image's command, else sleep until the end. */
  args: string[];
  workdir?: string;
  volumes: { volumeId: string; mountPath: string; readOnly: boolean; subPath?: string }[];
  policy: NetworkPolicy;
  limits: SandboxLimits;
  /** Memory that it is counted with; specs from before this was counted have none. */
  reservedBytes?: number;
  timeoutMs: number;
  idleTimeoutMs?: number;
  /** Whose range of host ids it uses. */
  idOwner: string;
  probe?: { tcpPort: number; intervalMs: number } | { argv: string[]; intervalMs: number };
  openPorts: number[];
}

/** The tag that names the account whose range of host ids a sandbox shares; without it the App's. */
export const accountTag = "holdfast.account";

/** Checks a definition and takes what the engine does of it; throws INVALID_ARGUMENT or UNIMPLEMENTED. */
export function toStoredSpec(
  appId: string,
  definition: SandboxDefinition,
  tags: SandboxTag[],
  options: EngineOptions,
): StoredSpec {
  refuseUnsupported(definition);
  const { sandboxDefaults } = options;
  const timeoutMs = definition.timeoutSecs > 0 ? definition.timeoutSecs * 1000 : sandboxDefaults.timeoutMs;
  if (timeoutMs > sandboxDefaults.maxTimeoutMs) {
    throw refuse.invalid(`timeout of ${timeoutMs / 1000} s is longer than ${sandboxDefaults.maxTimeoutMs / 1000} s`);
  }
  const account = tags.find((tag) => tag.tagName === accountTag)?.tagValue;
  const { resources, readinessProbe: probe } = definition;
  const limits: SandboxLimits = { pids: sandboxDefaults.pids };
  const memoryBytes = resources?.memoryMbMax ? resources.memoryMbMax * 1024 * 1024 : sandboxDefaults.memoryBytes;
  const milliCpu = resources?.milliCpuMax || sandboxDefaults.milliCpu;
  if (memoryBytes !== undefined) limits.memoryBytes = memoryBytes;
  if (milliCpu !== undefined) limits.milliCpu = milliCpu;
  const spec: StoredSpec = {
    imageId: definition.imageId,
    args: checkArgs(definition.entrypointArgs),
    volumes: checkVolumes(definition.volumeMounts),
    policy: toPolicy(definition.networkAccess, definition.blockNetwork),
    limits,
    timeoutMs,
    idOwner: account ? `account:${account}` : `app:${appId}`,
    openPorts: (definition.openPorts?.ports ?? []).map((port) => port.port),
  };
  const reservedBytes = (resources?.memoryMb ?? 0) * 1024 * 1024;
  if (reservedBytes > 0) spec.reservedBytes = Math.min(reservedBytes, memoryBytes ?? reservedBytes);
  if (definition.workdir) spec.workdir = checkPath(definition.workdir, "workdir");
  if (definition.idleTimeoutSecs) spec.idleTimeoutMs = definition.idleTimeoutSecs * 1000;
  const intervalMs = probe?.intervalMs || 100;
  if (probe?.tcpPort) spec.probe = { tcpPort: probe.tcpPort, intervalMs };
  else if (probe?.execCommand) spec.probe = { argv: checkArgs(probe.execCommand.argv), intervalMs };
  return spec;
}

function refuseUnsupported(definition: SandboxDefinition): void {
  refuseNotDone("Sandbox", definition);
  if (definition.resources) refuseNotDone("Resources", definition.resources);
  const cloud = definition.cloudProviderStr.toLowerCase();
  if (!["", "auto", "aws", "gcp", "oci"].includes(cloud)) {
    throw refuse.invalid(`Invalid cloud provider: ${shown(definition.cloudProviderStr)}`);
  }
  for (const region of definition.schedulerPlacement?.regions ?? []) {
    if (!/^(us|eu|ap|uk|ca|me|sa|af|mx|jp|il|au)(-[a-z0-9-]+)?$/.test(region)) {
      throw refuse.invalid(`Invalid region: ${shown(region)}`);
    }
  }
}

/** What execve would refuse anyway, said clearly. */
export function checkArgs(args: string[]): string[] {
  for (const arg of args) if (arg.includes("\0")) throw refuse.invalid("A command argument holds a NUL character");
  return args;
}

export function checkPath(path: string, what: string): string {
  if (!path.startsWith("/") || path.includes("\0") || path.length > 4000) {
    throw refuse.invalid(`Invalid ${what} '${shown(path)}': an absolute path is needed`);
  }
  return posix.normalize(path);
}

function checkVolumes(mounts: VolumeMount[]): StoredSpec["volumes"] {
  const seen = new Set<string>();
  const paths = new Set<string>();
  return mounts.map((mount) => {
    const mountPath = checkPath(mount.mountPath, "mount path").replace(/(.)\/$/, "$1");
    if (mountPath === "/" || /^\/(__modal|proc|sys|dev)(\/|$)/.test(mountPath)) {
      throw refuse.invalid(`Invalid mount path '${shown(mount.mountPath)}': nothing can be mounted there`);
    }
    if (seen.has(mount.volumeId)) {
      throw refuse.invalid(`Volume ${shown(mount.volumeId)} is mounted at two paths; mount it once`);
    }
    if (paths.has(mountPath)) throw refuse.invalid(`Two volumes are mounted at '${shown(mountPath)}'`);
    seen.add(mount.volumeId);
    paths.add(mountPath);
    const volume = { volumeId: mount.volumeId, mountPath, readOnly: mount.readOnly };
    if (!mount.subPath) return volume;
    const subPath = posix.normalize(`/${mount.subPath}`).slice(1).replace(/\/$/, "");
    if (mount.subPath.includes("\0") || mount.subPath.split("/").includes("..") || subPath.length > 4000) {
      throw refuse.invalid(`Invalid sub path '${shown(mount.subPath)}' of volume ${shown(mount.volumeId)}`);
    }
    return subPath === "" ? volume : { ...volume, subPath };
  });
}

/** A network policy from what the SDK sends; unset means open. */
export function toPolicy(access: NetworkAccess | null, blockNetwork: boolean): NetworkPolicy {
  if (blockNetwork || access?.networkAccessType === 2) return { kind: "blocked" };
  if (access?.networkAccessType !== 3) return { kind: "open" };
  for (const cidr of access.allowedCidrs) checkCidr(cidr);
  for (const domain of access.allowedDomains) checkDomain(domain);
  return { kind: "allowlist", cidrs: access.allowedCidrs, domains: access.allowedDomains };
}

function checkCidr(cidr: string): void {
  const [address = "", bits = "", rest] = cidr.split("/");
  const family = isIP(address);
  const most = family === 6 ? 128 : 32;
  if (family === 0 || rest !== undefined || !/^\d{1,3}$/.test(bits) || Number(bits) > most) {
    throw refuse.invalid(`Invalid CIDR: ${shown(cidr)}`);
  }
}

function checkDomain(domain: string): void {
  const label = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?";
  if (domain.length > 253 || !new RegExp(`^(\\*|(\\*\\.)?${label}(\\.${label})*\\.?)$`, "i").test(domain)) {
    throw refuse.invalid(`Invalid domain: ${shown(domain)}`);
  }
}

/** Terminal settings of an exec; the SDK sends 24 by 80. */
export function toPty(info: PtyInfo | null): { rows: number; cols: number; term: string } | undefined {
  if (!info?.enabled) return undefined;
  return { rows: info.winszRows || 24, cols: info.winszCols || 80, term: info.envTerm || "xterm-256color" };
}

/** Tags: names once, of reasonable size. */
export function checkTags(tags: SandboxTag[]): SandboxTag[] {
  const names = new Set<string>();
  for (const { tagName, tagValue } of tags) {
    if (tagName === "" || tagName.length > 256 || tagValue.length > 1024) {
      throw refuse.invalid(`Invalid tag '${shown(tagName)}': 1 to 256 characters, the value up to 1024`);
    }
    if (names.has(tagName)) throw refuse.invalid(`Tag '${shown(tagName)}' is given twice`);
    names.add(tagName);
  }
  return tags.map(({ tagName, tagValue }) => ({ tagName, tagValue }));
}

/** Sandbox names as Modal takes them. */
export function checkName(name: string): string {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    throw refuse.invalid(
      `Invalid sandbox name '${shown(name)}': use 1 to 64 letters, digits, dashes, dots and underscores`,
    );
  }
  return name;
}
