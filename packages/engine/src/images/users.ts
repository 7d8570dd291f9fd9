import { lstatSync, readFileSync } from "node:fs";
import { pathInside } from "./inside.ts";

/** A user of an image. */
export interface ImageUser {
  uid: number;
  gid: number;
  /** Undefined: not in the image's passwd. */
  name: string | undefined;
  home: string;
}

/** Reads a plain file of an image without following links out of it; undefined when the image has none. */
export function readImageFile(layers: string[], path: string): string | undefined {
  for (const layer of layers) {
    const file = pathInside(layer, path);
    const stat = file === undefined ? undefined : lstatSync(file, { throwIfNoEntry: false });
    if (file === undefined || !stat) continue;
    return stat.isFile() ? readFileSync(file, "utf8") : undefined;
  }
  return undefined;
}

/** Resolves a USER value (`name`, `uid`, with `:group`) in the image; undefined when the image does not know it. */
export function resolveUser(layers: string[], user: string): ImageUser | undefined {
  const [who = "", group] = user.split(":");
  const passwd = (readImageFile(layers, "etc/passwd") ?? "").split("\n").map((line) => line.split(":"));
  const entry = passwd.find((fields) => fields[0] === who || (/^\d+$/.test(who) && fields[2] === who));
  if (!entry && !/^\d+$/.test(who)) return undefined;
  let gid = Number(entry?.[3] ?? 0);
  if (group !== undefined && group !== "") {
    const groups = (readImageFile(layers, "etc/group") ?? "").split("\n").map((line) => line.split(":"));
    const found = groups.find((fields) => fields[0] === group)?.[2] ?? (/^\d+$/.test(group) ? group : undefined);
    if (found === undefined) return undefined;
    gid = Number(found);
  }
  return { uid: Number(entry?.[2] ?? who), gid, name: entry?.[0], home: entry?.[5] || "/" };
}

/** The command as that user: `setpriv` of the image's util-linux does the change, from root, inside. */
export function asUser(user: ImageUser, args: string[]): string[] {
  if (user.uid === 0) return args;
  const groups = user.name === undefined ? "--clear-groups" : "--init-groups";
  return ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, groups, "--", ...args];
}
