import type { Logger } from "pino";
import type { Apps } from "../behaviour/app/apps.ts";
import type { Tokens } from "../behaviour/auth/tokens.ts";
import type { Execs } from "../behaviour/exec/execs.ts";
import type { BuildLogs } from "../behaviour/image/build-logs.ts";
import type { Images } from "../behaviour/image/images.ts";
import type { SandboxRecords } from "../behaviour/sandbox/records.ts";
import type { Sandboxes } from "../behaviour/sandbox/sandboxes.ts";
import type { Secrets } from "../behaviour/secret/secrets.ts";
import type { Volumes } from "../behaviour/volume/volumes.ts";
import type { EngineOptions } from "../config/options.ts";
import type { Network } from "../network/types.ts";
import type { Runtime } from "../runtime/types.ts";

/** What the gRPC services may use. */
export interface ServiceContext {
  options: EngineOptions;
  log: Logger;
  tokens: Tokens;
  apps: Apps;
  secrets: Secrets;
  volumes: Volumes;
  images: Images;
  buildLogs: BuildLogs;
  records: SandboxRecords;
  sandboxes: Sandboxes;
  execs: Execs;
  runtime: Runtime;
  network: Network;
  /** What the command router's address is on the wire; known once the server listens. */
  routerUrl: () => string;
}
