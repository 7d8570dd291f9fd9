import { refuse } from "../errors.ts";

/**
 * What requests can ask for and the engine does not do, by message of the protocol and field: said by name when it is
 * set to anything but its default, as an option that is taken and ignored is a promise that is not kept.
 */
export const notDone = {
  SandboxCreateV2Request: { cloudBucketMountCredentials: "CloudBucketMount" },
  Sandbox: {
    mountIds: "A Mount of local files",
    nfsMounts: "A NetworkFileSystem",
    s3Mounts: "An S3 mount",
    cloudBucketMounts: "CloudBucketMount",
    ptyInfo: "A pty of the main process (`pty`); an exec can have one",
    workerId: "Choosing a worker",
    i6pnEnabled: "i6pn networking",
    proxyId: "A Proxy",
    enableSnapshot: "A memory snapshot",
    runscRuntimeVersion: "Choosing a version of gVisor",
    runtime: "Choosing a runtime (`runtime`)",
    experimentalOptions: "An experimental option",
    experimentalOptionsV2: "An experimental option",
    customDomain: "A domain of one's own (`customDomain`)",
    includeOidcIdentityToken: "An identity token (`includeOidcIdentityToken`)",
    includeX509Svid: "An X.509 identity (`includeX509Svid`)",
    inboundCidrAllowlist: "inboundCidrAllowlist (there are no tunnels)",
    experimentalOutboundPolicy: "An outbound policy",
    outboundPolicy: "An outbound policy",
  },
  Resources: { gpuConfig: "A GPU", rdma: "RDMA", ephemeralDiskMb: "A disk of one's own size (`ephemeralDisk`)" },
  Image: {
    contextFiles: "Adding local files to an image",
    contextMountId: "Adding local files to an image",
    buildFunctionDef: "Building images with a function",
    buildFunction: "Building images with a function",
    volumeMounts: "Volumes in image builds",
    gpuConfig: "Building images with a GPU",
    runtime: "Choosing a runtime for builds",
    arch: "Choosing a processor for an image",
  },
  ImageGetOrCreateRequest: {
    existingImageId: "Building an existing image",
    buildFunctionId: "Building images with a function",
    ignoreCache: "ignoreCache (`forceBuild` builds anew)",
  },
  VolumeGetOrCreateRequest: { createOptions: "Options of a new Volume" },
  PTYInfo: { envTermProgram: "Choosing the terminal's program (`envTermProgram`)" },
  TaskExecStartRequest: { containerId: "exec in a sidecar container" },
} as const satisfies Record<string, Record<string, string>>;

type Message = keyof typeof notDone;

/** Throws UNIMPLEMENTED with the name of the first option that is set and not done. */
export function refuseNotDone(message: Message, request: object): void {
  const fields = request as Record<string, unknown>;
  for (const [field, what] of Object.entries(notDone[message])) {
    if (!isSet(fields[field])) continue;
    const names = field.startsWith("experimentalOptions")
      ? ` (${Object.keys(fields[field] as object).join(", ")})`
      : "";
    throw refuse.unsupported(`${what}${names}`);
  }
}

/** Whether a decoded value says anything: a message whose fields all have their defaults says nothing. */
function isSet(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === 0 || value === false) return false;
  if (value instanceof Uint8Array || Array.isArray(value)) return value.length > 0;
  return typeof value === "object" ? Object.values(value).some(isSet) : true;
}
