export function accountPrefix(accountId: string): string {
  return `docs/${accountId}/`;
}
