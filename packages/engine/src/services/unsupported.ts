import { ServerError, type ServiceDefinition, Status } from "nice-grpc";

/** Methods of the SDK that the engine knows of and does not do, with what the caller tried. */
const controlPlane: Record<string, string> = {
  SandboxCreate: "The older sandbox interface (a GPU, or MODAL_SANDBOX_V2=0)",
  SandboxCreateConnectTokenV2: "A connect token",
  SandboxContainerCreateV2: "A sidecar container",
  SandboxGetExitSnapshotV2: "An exit snapshot",
  SandboxSnapshotGet: "A memory snapshot",
  SandboxRestoreV2: "Restoring a memory snapshot",
  ImageGetByTag: "Finding an image by a published name",
  ImagePublish: "Publishing an image",
  AppFetchLogs: "Fetching App logs",
  AppCountLogs: "Counting App logs",
  EnvironmentCreate: "Creating an environment",
  EnvironmentDelete: "Deleting an environment",
};
const taskRouter: Record<string, string> = {
  TaskSnapshotFilesystem: "A filesystem snapshot",
  TaskSnapshotDirectory: "A directory snapshot",
  TaskSnapshotMemory: "A memory snapshot",
  TaskMountDirectory: "Mounting an image",
  TaskUnmountDirectory: "Unmounting an image",
  TaskSetOutboundPolicy: "An outbound policy",
  TaskContainerCreate: "A sidecar container",
  TaskContainerGet: "A sidecar container",
  TaskContainerList: "Listing sidecar containers",
  TaskContainerTerminate: "A sidecar container",
  TaskContainerWait: "A sidecar container",
};

interface Refusals {
  definition: ServiceDefinition;
  implementation: Record<string, () => Promise<never>>;
}

/** Adds the refusals to both services: a clear UNIMPLEMENTED, whatever the request holds. */
export function refusals(): { modalClient: Refusals; taskCommandRouter: Refusals } {
  return {
    modalClient: make("modal.client.ModalClient", controlPlane),
    taskCommandRouter: make("modal.task_command_router.TaskCommandRouter", taskRouter),
  };
}

function make(service: string, methods: Record<string, string>): Refusals {
  const definition: ServiceDefinition = {};
  const implementation: Refusals["implementation"] = {};
  for (const [method, what] of Object.entries(methods)) {
    definition[method] = {
      path: `/${service}/${method}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: () => new Uint8Array(),
      requestDeserialize: () => ({}),
      responseSerialize: () => Buffer.alloc(0),
      responseDeserialize: () => ({}),
      options: {},
    };
    implementation[method] = async () => {
      throw new ServerError(Status.UNIMPLEMENTED, `${what} is not supported by this engine`);
    };
  }
  return { definition, implementation };
}
