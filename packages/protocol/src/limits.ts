import type { JsonBounds } from "@holdfast/std";

/** Text of one user message. The CLI itself took 1.5 MB on one line. */
export const maxPromptBytes = 1024 * 1024;
/** The largest request body of all: messages with images. */
export const maxBodyBytes = 4 * 1024 * 1024;
/** Text of a tool result in an event; the raw line keeps all of it. */
export const maxToolResultBytes = 64 * 1024;
/** Blocks of one message: texts and images. */
export const maxContentBlocks = 100;
/** Wrong fields that one answer names. */
export const maxNamedErrors = 20;

/**
 * What a route reads before it looks at what the body means. Names and short texts; all that anybody sends without a
 * key.
 */
export const smallBody: JsonBounds = { bytes: 64 * 1024, depth: 8, keys: 200, values: 500 };
/** Agents and environments: long texts and lists of packages, which some clients escape to six bytes a character. */
export const definitionBody: JsonBounds = { bytes: 1024 * 1024, depth: 12, keys: 500, values: 2_000 };
/** A command with many arguments; Linux itself takes no more. */
export const commandBody: JsonBounds = { bytes: 2 * 1024 * 1024, depth: 4, keys: 20, values: 1_100 };
/** Up to a hundred events with up to a hundred blocks, not both at once. */
export const messageBody: JsonBounds = { bytes: maxBodyBytes, depth: 16, keys: 5_000, values: 10_000 };
