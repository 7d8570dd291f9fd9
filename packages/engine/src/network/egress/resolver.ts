import type { Socket as UdpSocket } from "node:dgram";
import type { Socket } from "node:net";
import { answer, isInternet, isQuery, parseQuestion, type Question, responseCode } from "./dns-message.ts";
import { readMessages, writeMessage } from "./dns-stream.ts";
import { normaliseHost } from "./domains.ts";
import type { NameServers } from "./name-servers.ts";
import type { Sandbox, World } from "./sandbox.ts";

const maxQuestionsPerSandbox = 64;
const tcpIdleMs = 30_000;

/** Answers sandboxes' questions by their policy. */
export interface NameResolver {
  serveUdp(socket: UdpSocket): void;
  serveTcp(sandbox: Sandbox, socket: Socket): void;
}

export function createResolver(world: World, nameServers: NameServers): NameResolver {
  const resolve = async (
    sandbox: Sandbox,
    query: Buffer,
    options: { transport: "udp" | "tcp"; signal?: AbortSignal },
  ): Promise<Buffer | undefined> => {
    if (!isQuery(query)) return undefined;
    const question = parseQuestion(query);
    if (question === undefined) return answer(query, undefined, { code: responseCode.formatError });
    if (!isInternet(question)) return answer(query, question, { code: responseCode.notImplemented });
    const own = answerOurselves(world, sandbox, { query, question });
    if (own !== undefined) return own;
    const response = await nameServers.forward(query, options.transport, options.signal);
    return response ?? answer(query, question, { code: responseCode.serverFailure });
  };

  /** `resolve` for a sandbox that may have too many questions open. */
  const resolveWithin = async (
    sandbox: Sandbox,
    query: Buffer,
    options: { transport: "udp" | "tcp"; signal?: AbortSignal },
  ): Promise<Buffer | undefined> => {
    if (sandbox.questions >= maxQuestionsPerSandbox) return undefined;
    sandbox.questions += 1;
    try {
      return await resolve(sandbox, query, options);
    } finally {
      sandbox.questions -= 1;
    }
  };

  return {
    serveUdp(socket) {
      socket.on("message", (query, from) => {
        const sandbox = world.byAddress.get(from.address);
        if (sandbox === undefined) return;
        resolveWithin(sandbox, query, { transport: "udp" }).then(
          (response) => {
            if (response !== undefined) socket.send(response, from.port, from.address, () => {});
          },
          (error: unknown) => world.report(sandbox, "dns", String(error)),
        );
      });
    },
    serveTcp(sandbox, socket) {
      const gone = new AbortController();
      socket.on("close", () => gone.abort());
      socket.setTimeout(tcpIdleMs, () => socket.destroy());
      socket.on("end", () => socket.end());
      readMessages(socket, (query) => {
        resolveWithin(sandbox, query, { transport: "tcp", signal: gone.signal }).then(
          (response) => {
            // A client that asks more than we answer has no use for the connection.
            if (response === undefined) socket.destroy();
            else if (socket.writable) writeMessage(socket, response);
          },
          () => socket.destroy(),
        );
      });
      socket.resume();
    },
  };
}

/** Published names, names that the policy refuses, and what sandboxes have no use for. Undefined: ask the host's. */
function answerOurselves(
  world: World,
  sandbox: Sandbox,
  asked: { query: Buffer; question: Question },
): Buffer | undefined {
  const { query, question } = asked;
  const host = normaliseHost(question.name);
  const service = world.services.find((candidate) => candidate.name === host);
  if (host === undefined || !sandbox.policy.allowsName(host)) {
    world.report(sandbox, `name ${JSON.stringify(question.name)}`, "not_in_allowlist");
    // Not REFUSED: resolver libraries would try again and again instead of failing at once.
    return answer(query, question, { code: responseCode.noSuchName });
  }
  if (service !== undefined) {
    return answer(query, question, question.type === "A" ? { addresses: [service.address] } : {});
  }
  // Sandboxes have no IPv6: an address that cannot be reached only delays.
  if (question.type === "AAAA") return answer(query, question, {});
  return undefined;
}
