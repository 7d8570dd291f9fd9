/** What a session has that names no environment. */
export const defaultEnvironmentId = "env_default";
