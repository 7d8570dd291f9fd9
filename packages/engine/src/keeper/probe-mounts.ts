import { mkdirSync, writeSync } from "node:fs";
import type { MountProbe } from "../runtime/probe.ts";
import { ID_COUNT } from "./id-map-size.ts";
import { cloneMount, MS_NODEV, MS_NOSUID, mount } from "./syscalls.ts";
import { canMakeOwned, makeUserNamespace } from "./user-namespaces.ts";

/** Run as `node probe-mounts.ts <empty directory>` in a mount namespace of its own: tries what a sandbox's root needs. */
const ANY_BASE = 1_000_000;

const scratch = process.argv[2] ?? "";
const result: MountProbe = {
  userNamespaces: false,
  ownCounters: false,
  idmappedMounts: false,
  overlay: false,
  detail: "",
};
try {
  for (const name of ["lower", "data", "data/upper", "data/work", "l", "d", "root"]) mkdirSync(`${scratch}/${name}`);
  const userNamespaceFd = await makeUserNamespace(`0 ${ANY_BASE} ${ID_COUNT}\n${ID_COUNT} 0 1\n`);
  result.userNamespaces = true;
  result.ownCounters = await canMakeOwned();
  cloneMount({ source: `${scratch}/lower`, target: `${scratch}/l`, readOnly: true, userNamespaceFd });
  cloneMount({ source: `${scratch}/data`, target: `${scratch}/d`, readOnly: false, userNamespaceFd });
  result.idmappedMounts = true;
  mount({
    source: "overlay",
    target: `${scratch}/root`,
    type: "overlay",
    flags: MS_NOSUID | MS_NODEV,
    data: `lowerdir=${scratch}/l,upperdir=${scratch}/d/upper,workdir=${scratch}/d/work,redirect_dir=off,metacopy=off,index=off`,
  });
  // Where overlayfs cannot use its work directory it mounts read-only without an error.
  mkdirSync(`${scratch}/root/written`);
  result.overlay = true;
} catch (error) {
  result.detail = error instanceof Error ? error.message : String(error);
}
writeSync(1, JSON.stringify(result));
