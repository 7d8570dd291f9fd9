import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, writeFileSync } from "node:fs";
import { ID_COUNT } from "./id-map-size.ts";
import { RUNTIME_ENV } from "./oci-command.ts";

export interface IdMaps {
  /** For volumes: disk id n is the sandbox's id n, nothing else exists. */
  volumeFd: number;
  /** For overlay layers: the same, and disk id 65 536 stands for the keeper, whose scratch files overlayfs creates. */
  layerFd: number;
}

/** User namespaces that hold the id map of idmapped mounts, two per account, made once and kept open. */
export class IdMapCache {
  readonly #maps = new Map<number, Promise<IdMaps>>();

  get(hostIdBase: number): Promise<IdMaps> {
    const known = this.#maps.get(hostIdBase);
    if (known !== undefined) return known;
    const made = makeMaps(hostIdBase);
    this.#maps.set(hostIdBase, made);
    made.catch(() => this.#maps.delete(hostIdBase));
    return made;
  }
}

async function makeMaps(hostIdBase: number): Promise<IdMaps> {
  const own = `0 ${hostIdBase} ${ID_COUNT}\n`;
  const [volumeFd, layerFd] = await Promise.all([makeUserNamespace(own), makeUserNamespace(`${own}${ID_COUNT} 0 1\n`)]);
  return { volumeFd, layerFd };
}

/** A user namespace lives as long as a process or a descriptor is in it: a helper enters one, we keep the descriptor. */
export async function makeUserNamespace(idMap: string): Promise<number> {
  const helper = spawn("unshare", ["--user", "sh", "-c", "echo in; read -r _"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: RUNTIME_ENV,
  });
  const exited = once(helper, "exit");
  try {
    const ready = await Promise.race([once(helper.stdout, "data"), exited.then(() => undefined)]);
    if (ready === undefined) throw new Error("The kernel refuses to make a user namespace (unshare --user failed).");
    writeFileSync(`/proc/${helper.pid}/uid_map`, idMap);
    writeFileSync(`/proc/${helper.pid}/gid_map`, idMap);
    return openSync(`/proc/${helper.pid}/ns/user`, "r");
  } finally {
    helper.stdin.on("error", () => {
      // The helper has gone already; nothing more to tell it.
    });
    helper.stdin.end("\n");
    await exited;
  }
}
