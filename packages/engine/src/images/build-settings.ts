import type { MachineSettings } from "../config/environment.ts";

/** Where the machine's settings lie during a RUN step; removed from the layer afterwards. */
export const settingsDir = "/run/holdfast-build";

/** What a RUN step gets of the machine's package-client settings; none of it stays in the image. */
export function buildSettings(machine: MachineSettings): {
  env: Record<string, string>;
  files: { path: string; content: string }[];
} {
  const env: Record<string, string> = {
    ...machine.proxies,
    APT_CONFIG: `${settingsDir}/apt.conf`,
    // Caches that would only make the layer larger; they go with the settings.
    npm_config_cache: `${settingsDir}/npm`,
    NODE_DISABLE_COMPILE_CACHE: "1",
  };
  const files = [
    { path: `${settingsDir}/apt.conf`, content: `${machine.aptSettings}DPkg::Options:: "--force-unsafe-io";\n` },
  ];
  if (machine.caBundle !== undefined) {
    const bundle = `${settingsDir}/ca.pem`;
    files.push({ path: bundle, content: machine.caBundle });
    for (const name of [
      "SSL_CERT_FILE",
      "NODE_EXTRA_CA_CERTS",
      "npm_config_cafile",
      "CURL_CA_BUNDLE",
      "REQUESTS_CA_BUNDLE",
      "PIP_CERT",
      "GIT_SSL_CAINFO",
      "AWS_CA_BUNDLE",
    ]) {
      env[name] = bundle;
    }
  }
  return { env, files };
}
