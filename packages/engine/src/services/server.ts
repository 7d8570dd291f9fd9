import { createServer, type Server, type ServiceDefinition, type ServiceImplementation } from "nice-grpc";
import { type Definitions, loadDefinitions } from "../proto/definitions.ts";
import type { ModalClientService, TaskCommandRouterService } from "../proto/services.ts";
import { appService } from "./app/service.ts";
import { authService } from "./auth/service.ts";
import type { ServiceContext } from "./context.ts";
import { callMiddleware } from "./errors.ts";
import { imageService } from "./image/service.ts";
import { sandboxService } from "./sandbox/service.ts";
import { secretService } from "./secret/service.ts";
import { taskRouterService } from "./task-router/service.ts";
import { refusals } from "./unsupported.ts";
import { volumeService } from "./volume/service.ts";

const maxMessageBytes = 128 * 1024 * 1024;

/** Both services on one server, in plain HTTP/2. */
export function createGrpcServer(context: ServiceContext): Server {
  const definitions = loadDefinitions();
  const server = createServer({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    // The SDK pings every 30 s even without calls, and must not be told off for it.
    "grpc.http2.min_ping_interval_without_data_ms": 5_000,
    // Streams of clients that a cut network took away are let go of.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc-node.flow_control_window": 8 * 1024 * 1024,
  }).use(callMiddleware({ log: context.log, authorise: authoriser(context) }));
  addServices(server, definitions, context);
  return server;
}

function authoriser({ tokens }: ServiceContext): Parameters<typeof callMiddleware>[0]["authorise"] {
  return (path, call) => {
    // The command router's methods check their own bearer token against the task they name.
    if (path.startsWith("/modal.task_command_router.")) {
      tokens.checkRouterToken(call.metadata.get("authorization"));
      return;
    }
    tokens.checkPair(call.metadata.get("x-modal-token-id"), call.metadata.get("x-modal-token-secret"));
  };
}

function addServices(server: Server, definitions: Definitions, context: ServiceContext): void {
  const refused = refusals();
  const modalClient: ModalClientService = {
    ...authService(context),
    ...appService(context),
    ...secretService(context),
    ...volumeService(context),
    ...imageService(context),
    ...sandboxService(context),
  };
  const taskCommandRouter: TaskCommandRouterService = taskRouterService(context);
  server.add(
    { ...definitions.modalClient, ...refused.modalClient.definition },
    implementation(modalClient, refused.modalClient.implementation),
  );
  server.add(
    { ...definitions.taskCommandRouter, ...refused.taskCommandRouter.definition },
    implementation(taskCommandRouter, refused.taskCommandRouter.implementation),
  );
}

/** Definitions that are loaded at run time have no types; the interfaces of `proto/services.ts` checked ours already. */
function implementation(
  service: ModalClientService | TaskCommandRouterService,
  refused: Record<string, () => Promise<never>>,
): ServiceImplementation<ServiceDefinition> {
  return { ...service, ...refused } as unknown as ServiceImplementation<ServiceDefinition>;
}
