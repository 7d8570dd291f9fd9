import { conversationBounds, SCRIPTED_SIGNATURE } from "@holdfast/scripted-model";

import { keepsJsonBounds } from "@holdfast/std";

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null;

/**
 * A conversation that began with the scripted demo holds thinking blocks whose signature Anthropic would refuse with
 * 400. They are taken out when a key was added in the middle of it; every other body passes as it is.
 */
export function withoutScriptedThinking(body: Buffer): Buffer {
  if (!body.includes(SCRIPTED_SIGNATURE)) return body;
  // A sandbox can write the signature into what it likes; a demo's conversation is never so large.
  if (!keepsJsonBounds(body, conversationBounds)) return body;
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch {
    // Not JSON: the upstream will say so in its own words.
    return body;
  }
  if (!isObject(parsed) || !Array.isArray(parsed.messages)) return body;
  for (const message of parsed.messages) {
    if (!isObject(message) || !Array.isArray(message.content)) continue;
    const kept = message.content.filter((block: unknown) => !isScriptedThinking(block));
    // An empty message is refused as well.
    message.content = kept.length > 0 ? kept : [{ type: "text", text: "(nothing was said)" }];
  }
  return Buffer.from(JSON.stringify(parsed));
}

function isScriptedThinking(block: unknown): boolean {
  return isObject(block) && block.type === "thinking" && block.signature === SCRIPTED_SIGNATURE;
}
