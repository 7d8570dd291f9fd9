/** What a deleted workspace or account is called in the database, so that its name is free again. */
export function deletedName(name: string, id: string): string {
  return `${name}~${id}`;
}

/** The name that its owner knows; `~` is in no own name of either. */
export function workspaceLabel(stored: string): string {
  return stored.replace(/~.*$/, "");
}
