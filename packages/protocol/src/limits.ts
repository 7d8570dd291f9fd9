/** Text of one user message. The CLI itself took 1.5 MB on one line. */
export const maxPromptBytes = 1024 * 1024;
/** Any request body. */
export const maxBodyBytes = 4 * 1024 * 1024;
/** Text of a tool result in an event; the raw line keeps all of it. */
export const maxToolResultBytes = 64 * 1024;
