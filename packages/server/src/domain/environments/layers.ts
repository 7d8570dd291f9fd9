import type { EnvironmentConfig } from "@holdfast/protocol";
import type { ImageTemplate } from "../../ports/sandbox-provider.ts";

type Layer = ImageTemplate["layers"][number];

/** What an environment adds to the image; one layer each, so that a build tells which of them it is at. */
export function environmentLayers(config: EnvironmentConfig, commands: readonly string[]): Layer[] {
  const { apt, npm, pip } = config.packages;
  const layers = [
    ...packageLayer("apt", apt, (names) => [aptInstall(names)]),
    ...packageLayer("npm", npm, (names) => [`npm install -g --no-audit --no-fund ${names}`]),
    ...packageLayer("pip", pip, (names) => [
      aptInstall("python3-pip"),
      `python3 -m pip install --break-system-packages --no-cache-dir ${names}`,
    ]),
    ...commands.map((command) => ({ title: command.slice(0, 200), commands: [command] })),
  ];
  return layers.length === 0 ? [] : [...layers, { title: "User root", commands: ["USER root"] }];
}

function packageLayer(manager: string, names: readonly string[], run: (quoted: string) => string[]): Layer[] {
  if (names.length === 0) return [];
  const quoted = names.map((name) => `'${name.replaceAll("'", "")}'`).join(" ");
  const title = `${manager}: ${names.join(" ")}`.slice(0, 200);
  return [{ title, commands: run(quoted).map((command) => `RUN ${command}`) }];
}

function aptInstall(names: string): string {
  return `apt-get update && apt-get install -y --no-install-recommends ${names} && rm -rf /var/lib/apt/lists/*`;
}
