import { fileURLToPath } from "node:url";
import { type ServiceDefinition as LoadedService, loadSync, type PackageDefinition } from "@grpc/proto-loader";
import type { ServiceDefinition } from "nice-grpc";

/** Both services, ready for a nice-grpc server or client. */
export interface Definitions {
  modalClient: ServiceDefinition;
  taskCommandRouter: ServiceDefinition;
}

/**
 * Reads the two .proto files beside this one and builds the codecs; no generated code. Names come out in camelCase,
 * int64 as numbers (offsets stay far below 2^53), bytes as Buffers.
 */
export function loadDefinitions(): Definitions {
  const here = fileURLToPath(new URL(".", import.meta.url));
  const loaded = loadSync(["modal-client.proto", "task-command-router.proto"], {
    includeDirs: [here],
    keepCase: false,
    longs: Number,
    enums: Number,
    bytes: Buffer,
    defaults: true,
    oneofs: true,
  });
  return {
    modalClient: service(loaded, "modal.client.ModalClient"),
    taskCommandRouter: service(loaded, "modal.task_command_router.TaskCommandRouter"),
  };
}

function service(loaded: PackageDefinition, name: string): ServiceDefinition {
  const found = loaded[name];
  if (!found || "format" in found) throw new Error(`the .proto files beside this module define no service ${name}`);
  const definition: ServiceDefinition = {};
  for (const [method, entry] of Object.entries(found as LoadedService)) {
    definition[method] = {
      path: entry.path,
      requestStream: entry.requestStream,
      responseStream: entry.responseStream,
      requestSerialize: entry.requestSerialize,
      requestDeserialize: entry.requestDeserialize,
      responseSerialize: entry.responseSerialize,
      responseDeserialize: entry.responseDeserialize,
      options: {},
    };
  }
  return definition;
}
