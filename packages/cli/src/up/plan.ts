import { join } from "node:path";
import type { Ready, Service, ServiceSpec } from "./child.ts";
import type { Secrets } from "./secrets.ts";

type Name = ServiceSpec["name"];
/** Those that run. */
export type Services = Record<Name, Service>;

export interface PlanInput {
  dataDir: string;
  port: number;
  packagesDir: string;
  secrets: Secrets;
  anthropicApiKey?: string;
  imageCacheDir?: string;
  /** PostgreSQL; absent: a SQLite file. */
  databaseUrl?: string;
  /** The last word on what a service is started with. */
  adjust?: (name: Name, options: Record<string, unknown>) => Record<string, unknown>;
}

/** Users that own nothing else on the machine; the processes drop to them after they opened what they need. */
const users = { server: 61001, gateway: 61002, s3: 61003 };

/** Names and ports under which a sandbox reaches the two services that are published to it. */
const gatewayInside = { name: "gateway.holdfast.internal", port: 4601 };
const s3Inside = { name: "s3.holdfast.internal", port: 4603 };

export const bucketName = "agent-docs";

/** What each service of one installation is started with. */
export function plan(input: PlanInput): Record<Name, (services: () => Services) => ServiceSpec> {
  const parts = { s3: s3Options, gateway: gatewayOptions, engine: engineOptions, server: serverOptions };
  const make =
    (name: Name) =>
    (services: () => Services): ServiceSpec => ({
      name,
      main: join(input.packagesDir, name, "src", "main.ts"),
      readyTimeoutMs: 60_000,
      options: (last) => {
        const options = parts[name](input, services, last);
        return input.adjust?.(name, options) ?? options;
      },
    });
  return { s3: make("s3"), gateway: make("gateway"), engine: make("engine"), server: make("server") };
}

/** A service chooses its port at its first start; when it is started again, the others know it by then. */
const again = (last: Ready | undefined, name = "port") => (last === undefined ? 0 : Number(last[name]));

function s3Options({ dataDir, secrets }: PlanInput, _services: () => Services, last: Ready | undefined) {
  return {
    host: "127.0.0.1",
    port: again(last),
    dataDir: join(dataDir, "s3"),
    uid: users.s3,
    gid: users.s3,
    accessKeyId: secrets.s3AccessKeyId,
    secretAccessKey: secrets.s3SecretAccessKey,
    buckets: [bucketName],
  };
}

function gatewayOptions(
  { dataDir, secrets, anthropicApiKey }: PlanInput,
  _services: () => Services,
  last: Ready | undefined,
) {
  return {
    host: "127.0.0.1",
    port: again(last),
    // Not on the port that sandboxes reach.
    adminPort: again(last, "adminPort"),
    dataDir: join(dataDir, "gateway"),
    uid: users.gateway,
    gid: users.gateway,
    adminToken: secrets.gatewayAdminToken,
    tokenSecret: secrets.gatewayTokenSecret,
    announced: true,
    ...(anthropicApiKey === undefined ? {} : { credential: anthropicApiKey }),
  };
}

function engineOptions(
  { dataDir, secrets, imageCacheDir }: PlanInput,
  services: () => Services,
  last: Ready | undefined,
) {
  const target = (service: "gateway" | "s3") => ({ host: "127.0.0.1", port: portOf(services(), service) });
  return {
    host: "127.0.0.1",
    port: again(last),
    dataDir: join(dataDir, "engine"),
    tokenId: secrets.modalTokenId,
    tokenSecret: secrets.modalTokenSecret,
    publishedServices: [
      { ...gatewayInside, target: target("gateway"), announce: true },
      { ...s3Inside, target: target("s3") },
    ],
    // The engine knows nothing of what its volumes are for; the server names them so.
    disk: { volumeSizes: [{ nameEndsWith: "-state", bytes: 2 * 2 ** 30 }] },
    ...(imageCacheDir === undefined ? {} : { imageCacheDir }),
  };
}

function serverOptions(
  { dataDir, secrets, port, packagesDir, databaseUrl }: PlanInput,
  services: () => Services,
  last: Ready | undefined,
) {
  const local = (name: Name) => `http://127.0.0.1:${portOf(services(), name)}`;
  const inside = (service: { name: string; port: number }) => `http://${service.name}:${service.port}`;
  return {
    host: "127.0.0.1",
    port: port === 0 ? again(last) : port,
    dataDir: join(dataDir, "server"),
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    uid: users.server,
    gid: users.server,
    loginSecret: secrets.loginSecret,
    cookieSecret: secrets.cookieSecret,
    webDir: join(packagesDir, "web", "dist"),
    modal: {
      serverUrl: local("engine"),
      tokenId: secrets.modalTokenId,
      tokenSecret: secrets.modalTokenSecret,
      appName: "holdfast",
      installationId: secrets.installationId,
    },
    gateway: {
      sandboxUrl: inside(gatewayInside),
      domain: gatewayInside.name,
      adminUrl: String(services().gateway.ready?.adminUrl),
      adminToken: secrets.gatewayAdminToken,
      tokenSecret: secrets.gatewayTokenSecret,
    },
    s3: {
      buckets: { "agent-docs": bucketName },
      endpoint: local("s3"),
      sandboxEndpoint: inside(s3Inside),
      sandboxDomain: s3Inside.name,
      region: "us-east-1",
      accessKeyId: secrets.s3AccessKeyId,
      secretAccessKey: secrets.s3SecretAccessKey,
    },
  };
}

function portOf(services: Services, name: Name): number {
  return Number(services[name].ready?.port);
}
