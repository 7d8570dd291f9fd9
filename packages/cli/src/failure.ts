import { CliError } from "./command.ts";

interface ApiFailure {
  status: number;
  code: string;
  detail: string;
  remedy: string;
  requestId?: string | undefined;
}

/** Whatever a command threw, in three sentences. */
export async function inWords(error: unknown): Promise<CliError> {
  if (error instanceof CliError) return error;
  const api = apiFailure(error);
  if (api !== undefined) return ofApi(api, error);
  if (error instanceof Error && "entry" in error) {
    // An AppError of the server's own code, thrown where it runs inside this process.
    const { remedy } = (error as Error & { entry: { remedy: string } }).entry;
    return new CliError(error.message, "", remedy, { cause: error });
  }
  return new CliError(
    "Something broke inside Holdfast",
    error instanceof Error ? error.message : String(error),
    "Report this with the command you ran; `holdfast doctor --bundle FILE` collects what is needed.",
    { cause: error },
  );
}

/** Our SDK's error and the official one's say the same in two shapes. */
function apiFailure(error: unknown): ApiFailure | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.name === "ApiError") return error as unknown as ApiFailure;
  const official = error as Error & { status?: unknown; error?: unknown; requestID?: unknown };
  if (isConnectionError(error)) return { status: 0, code: "connection_failed", detail: reasonOf(error), remedy: "" };
  if (typeof official.status !== "number") return undefined;
  const body = (official.error ?? {}) as {
    error?: { message?: string };
    holdfast?: { code?: string; remedy?: string };
  };
  const remedy = body.holdfast?.remedy ?? "";
  const said = body.error?.message ?? error.message;
  return {
    status: official.status,
    code: body.holdfast?.code ?? `http_${official.status}`,
    // The official SDK's shape has no field for the remedy: the server puts it behind the message.
    detail: remedy === "" ? said : said.replace(remedy, "").replace(/[. ]+$/, ""),
    remedy,
    requestId: typeof official.requestID === "string" ? official.requestID : undefined,
  };
}

const isConnectionError = (error: Error) =>
  /^(APIConnection|Connection error)/.test(error.constructor.name + error.message);

function reasonOf(error: unknown): string {
  let last = "no answer";
  for (let each = error; each instanceof Error; each = each.cause) {
    const { code } = each as { code?: unknown };
    if (code === "ECONNREFUSED") return "the connection was refused";
    if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "the host name is unknown";
    if (code === "ECONNRESET" || code === "UND_ERR_SOCKET") return "the connection was cut";
    last = each.message;
  }
  return last;
}

function ofApi({ status, code, detail, remedy, requestId }: ApiFailure, cause: unknown): CliError {
  const trace = requestId === undefined ? "" : ` (request ${requestId})`;
  if (status === 0)
    return new CliError(
      "The server does not answer",
      detail,
      "Start it with `holdfast up`, or say where it is with --server URL or `holdfast login`.",
      { cause },
    );
  if (status === 401)
    return new CliError(
      "The server does not accept your key",
      `${detail}. It may have been revoked, or belong to another server.`,
      "Log in again with `holdfast login`, or set HOLDFAST_API_KEY to a valid key.",
      { cause },
    );
  const todo = inCommands[code];
  if (todo !== undefined) return new CliError(detail, reasons[code] ?? "", todo, { cause });
  if (code === "route_not_found" || code === "method_not_allowed" || (status === 404 && code === "http_404"))
    return new CliError(
      "This server cannot do that",
      `${detail}${trace}`,
      "Check that the address is a Holdfast server's, and that it is as new as this command.",
      { cause },
    );
  return new CliError(detail, status >= 500 ? `The server answered ${status}${trace}.` : "", remedy, { cause });
}

/** Remedies that name routes, in this command's words. */
const inCommands: Record<string, string> = {
  session_not_found: "`holdfast ls` lists your sessions.",
  workspace_not_found: "`holdfast workspace list` lists them; `holdfast workspace add NAME` makes one.",
  terminal_not_found: "`holdfast sh --list` lists those that run; a terminal is gone with its sandbox.",
  too_many_terminals: "`holdfast sh --list` lists them; `holdfast sh --end TERMINAL` ends one.",
  terminals_unsupported: "`holdfast stop SANDBOX` ends it when nothing runs in it; the next one has terminals.",
  sandbox_not_found: "`holdfast sandboxes` lists those that run.",
  api_key_not_found: "`holdfast key list` lists your keys.",
  message_not_found: "`holdfast queue ID` lists what waits.",
  message_taken: "Stop its turn with `holdfast stop ID`, or say more with `holdfast send ID TEXT`.",
  confirmation_late: "`holdfast logs ID -n 20` shows the answer that counted, or what ended the question.",
};

/** What the server's sentence leaves open. */
const reasons: Record<string, string> = {
  message_not_found: "It was worked on, was removed, or is of another session.",
  message_taken: "Its turn has begun: it cannot be changed or removed any more.",
  confirmation_late: "Somebody was quicker, or the turn has ended.",
};
