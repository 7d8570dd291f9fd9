import type { SettingsChange } from "@holdfast/protocol";
import { connection } from "../client/connection.ts";
import { Sessions } from "../client/sessions.ts";
import { type Handler, type ParsedInput, textOption } from "../command.ts";

/** What a session is set to; changed where options say so. */
export const set: Handler = async (input, context) => {
  const { out, signal } = context;
  const sessions = new Sessions(connection(input, context));
  const id = await sessions.resolve(input.args[0] ?? "", signal);
  const change = changeOf(input);
  const isChange = Object.keys(change).length > 0;
  const session = isChange ? await sessions.set(id, change, signal) : await sessions.get(id, signal);
  const { permission_mode: mode, model, effort } = session.holdfast.settings;
  out.data({ session_id: id, permission_mode: mode, model, effort });
  out.line(`Permission mode: ${mode}`);
  out.line(`Model: ${model ?? "the agent's, or Claude Code's own choice"}`);
  out.line(`Effort: ${effort ?? "the agent's, or the model's own"}`);
};

function changeOf(input: ParsedInput): SettingsChange {
  const mode = textOption(input, "mode") as SettingsChange["permission_mode"];
  const model = textOption(input, "model");
  const effort = textOption(input, "effort") as Exclude<SettingsChange["effort"], null> | "default";
  return {
    ...(mode === undefined ? {} : { permission_mode: mode }),
    ...(model === undefined ? {} : { model: model === "default" ? null : model }),
    ...(effort === undefined ? {} : { effort: effort === "default" ? null : effort }),
  };
}
