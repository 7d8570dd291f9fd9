import { gzipSync } from "node:zlib";
import type { ImageTemplate } from "../../ports/sandbox-provider.ts";
import { homeDir } from "./mounts.ts";

export interface ImageInput {
  base: string;
  claudeVersion: string;
  extraCommands: readonly string[];
  /** The guest program, one JavaScript module. */
  guestBundle: string;
}

/** A place of its own: the name must stay `claude`, and what lies at `/usr/local/bin/claude` has mode 755. */
const claudeFolder = "/usr/local/lib/claude-code";

/** More than a sandbox has room for. */
const markGroups = 256;

/** Of one RUN: a kernel takes 128 KiB for one argument. */
const chunkChars = 90_000;

/** The last three are for people, who come by `holdfast sh`. */
const tools = [
  ...["ca-certificates", "curl", "git", "jq", "procps", "python3", "ripgrep", "socat", "awscli"],
  ...["htop", "less", "vim"],
];

/** The `claude-code` image: Claude Code for an unprivileged user, tools, our guest program. Nothing in it is secret. */
export function claudeCodeTemplate({ base, claudeVersion, extraCommands, guestBundle }: ImageInput): ImageTemplate {
  const layers = [
    {
      title: "System packages",
      commands: [
        `RUN apt-get update && apt-get install -y --no-install-recommends ${tools.join(" ")} && rm -rf /var/lib/apt/lists/*`,
      ],
    },
    { title: "User claudeuser", commands: [`RUN ${makeUser}`] },
    { title: `Claude Code ${claudeVersion}`, commands: [`RUN ${installClaude(claudeVersion)}`] },
    {
      title: "Guest program",
      commands: [
        "RUN mkdir -p /opt/holdfast /mnt/workspace /mnt/state && chown 0:0 /opt/holdfast && chmod 755 /opt/holdfast",
        // One for each Claude that runs: what it starts keeps it, and is found by it.
        `RUN for i in $(seq ${markGroups}); do echo "hf$i:x:$((61000 + i)):" >> /etc/group; done`,
        ...guestCommands(guestBundle),
        ...extraCommands,
        // Modal ran execs as the image's user once and ignores it today: root under both.
        "USER root",
      ],
    },
  ];
  return { base, layers };
}

/**
 * Its HOME is the volume's: ssh and others ask the user database, not the environment, and `runuser` obeys it as well.
 * The official Node image has a user `node` with these ids, which would be in the way. Written by hand: `userdel` and
 * `useradd` refuse to work where the kernel's audit interface is out of reach.
 */
const makeUser = [
  "old=$(getent passwd 1000 | cut -d: -f1)",
  'if [ -n "$old" ]; then sed -i "/^$old:/d" /etc/passwd /etc/shadow && rm -rf "/home/$old"; fi',
  "sed -i '/^[^:]*:[^:]*:1000:/d' /etc/group",
  `echo 'claudeuser:x:1000:1000::${homeDir}:/bin/bash' >> /etc/passwd`,
  "echo 'claudeuser:x:1000:' >> /etc/group",
  "echo 'claudeuser:!:20000:0:99999:7:::' >> /etc/shadow",
  // One for each Claude that runs: what it starts keeps it, and is found by it.
  `for i in $(seq ${markGroups}); do echo "hf$i:x:$((61000 + i)):" >> /etc/group; done`,
].join(" && ");

/** Moved, not copied: the program has hundreds of megabytes. */
function installClaude(version: string): string {
  const work = "/tmp/claude-install";
  return [
    'case "$(uname -m)" in x86_64) arch=x64;; aarch64) arch=arm64;; *) echo "no Claude Code for $(uname -m)" >&2; exit 1;; esac',
    `mkdir -p ${work} && cd ${work}`,
    `npm install --prefix ${work} --cache ${work}/.cache --no-audit --no-fund --no-save --ignore-scripts "@anthropic-ai/claude-code-linux-$arch@${version}"`,
    `mkdir -p ${claudeFolder} && chown 0:0 ${claudeFolder} && chmod 755 ${claudeFolder}`,
    `mv "${work}/node_modules/@anthropic-ai/claude-code-linux-$arch/claude" ${claudeFolder}/claude`,
    `cd / && rm -rf ${work}`,
    closeClaude({ program: `${claudeFolder}/claude`, launcher: "/usr/local/bin/claude" }),
    "claude --version",
  ].join(" && ");
}

/**
 * Makes the CLI's program one that its user can run and not read: the kernel then lets no other process of that user
 * look into it, trace it or take its descriptors, so that Bash cannot speak as Claude. A version that reads its own file
 * cannot run so (root's run would not show it): it stays readable, with a warning in the build's log.
 */
export function closeClaude({ program, launcher }: { program: string; launcher: string }): string {
  const asUser = "setpriv --reuid=1000 --regid=1000 --clear-groups --";
  const warning = "warning: this Claude Code does not run when its user cannot read it: Bash can reach into it";
  return [
    `printf '#!/bin/sh\\nexec ${program} "$@"\\n' > ${launcher}`,
    `chown 0:0 ${program} ${launcher} && chmod 711 ${program} && chmod 755 ${launcher}`,
    "home=$(mktemp -d) && chown 1000:1000 $home",
    `{ HOME=$home ${asUser} ${launcher} --version > /dev/null || { echo "${warning}" >&2; chmod 755 ${program}; }; }`,
    "rm -rf $home",
  ].join(" && ");
}

function guestCommands(bundle: string): string[] {
  const packed = gzipSync(bundle, { level: 9 }).toString("base64");
  const file = "/opt/holdfast/guest.mjs";
  const commands: string[] = [];
  for (let from = 0; from < packed.length; from += chunkChars) {
    const redirect = from === 0 ? ">" : ">>";
    commands.push(`RUN printf %s '${packed.slice(from, from + chunkChars)}' ${redirect} ${file}.b64`);
  }
  commands.push(
    `RUN base64 -d ${file}.b64 | gunzip > ${file} && rm ${file}.b64 && chmod 644 ${file} && node --check ${file}`,
  );
  return commands;
}
