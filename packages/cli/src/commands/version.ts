import { readFileSync } from "node:fs";
import type { Handler } from "../command.ts";

export function ownVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

export const version: Handler = async (_input, { out }) => {
  out.line(`holdfast ${ownVersion()} (Node ${process.version.slice(1)}, ${process.platform} ${process.arch})`);
  out.data({ version: ownVersion(), node: process.version.slice(1), platform: process.platform, arch: process.arch });
};
