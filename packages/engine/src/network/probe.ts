import * as names from "./names.ts";
import { deleteNamespaces } from "./namespaces.ts";
import { inNamespace } from "./native.ts";
import { reasonOf } from "./network-error.ts";
import { ruleset } from "./ruleset.ts";
import { run } from "./run.ts";

/** One thing that sandbox networks need of this machine. */
export interface NetworkCheck {
  name: "root" | "ip" | "nft" | "namespaces" | "interception";
  ok: boolean;
  /** What was found. */
  detail: string;
  /** What to do about it; only when not ok. */
  remedy?: string;
}

export interface NetworkProbe {
  ok: boolean;
  checks: NetworkCheck[];
}

/** Tries, in a namespace of its own that it removes again, whether sandbox networks work here. Never throws. */
export async function probeNetwork(): Promise<NetworkProbe> {
  const checks: NetworkCheck[] = [];
  const attempt = async (name: NetworkCheck["name"], remedy: string, work: () => Promise<string> | string) => {
    try {
      checks.push({ name, ok: true, detail: await work() });
      return true;
    } catch (error) {
      checks.push({ name, ok: false, detail: reasonOf(error), remedy });
      return false;
    }
  };
  const root = await attempt("root", "Start the engine as root.", () => {
    if (process.getuid?.() !== 0) throw new Error(`Running as uid ${process.getuid?.()}.`);
    return "running as root";
  });
  const ip = await attempt("ip", "Install iproute2 (Debian: apt install iproute2).", async () =>
    (await run("ip", ["-V"])).trim(),
  );
  const nft = await attempt("nft", "Install nftables 1.0 or later (Debian: apt install nftables).", async () =>
    (await run("nft", ["--version"])).trim(),
  );
  if (root && ip) {
    const namespace = `hf-probe-${process.pid}`;
    const path = names.namespacePath(namespace);
    const made = await attempt(
      "namespaces",
      "The machine (a container?) must allow network namespaces: CAP_SYS_ADMIN, and a writable /run/netns.",
      async () => {
        await run("ip", ["netns", "add", namespace]);
        return inNamespace(path, () => "network namespaces can be made and entered");
      },
    );
    if (made && nft) await attempt("interception", interceptionRemedy, () => tryInterception(namespace));
    await deleteNamespaces([namespace]).catch((error: unknown) => {
      checks.push({ name: "namespaces", ok: false, detail: reasonOf(error), remedy: `Run: ip netns del ${namespace}` });
    });
  }
  return { ok: checks.every((check) => check.ok), checks };
}

const interceptionRemedy =
  "The kernel needs veth, nftables with tproxy and nat (CONFIG_VETH, CONFIG_NFT_TPROXY, CONFIG_NFT_REDIR, CONFIG_NFT_CT), and policy routing (CONFIG_IP_MULTIPLE_TABLES).";

async function tryInterception(namespace: string): Promise<string> {
  const commands = [
    "link set lo up",
    `rule add fwmark ${names.proxyMark} lookup 100`,
    "route add local default dev lo table 100",
    "link add hf0 type veth peer name hf1",
  ];
  await run("ip", ["-n", namespace, "-batch", "-"], { input: commands.join("\n") });
  await run("ip", ["netns", "exec", namespace, "nft", "-f", "-"], { input: ruleset([]) });
  return "veth, policy routing and tproxy work";
}
