/** A permission rule as Claude Code speaks of it on the wire. */
export interface RuleParts {
  toolName: string;
  ruleContent?: string;
}

/** Longer ones cannot be read by whoever allows them. */
export const maxRuleLength = 500;

/** In settings, and shown: `Bash(npm test:*)`; parentheses and backslashes of the content are escaped. */
export function ruleText({ toolName, ruleContent }: RuleParts): string {
  if (ruleContent === undefined) return toolName;
  return `${toolName}(${ruleContent.replace(/[\\()]/g, "\\$&")})`;
}

/** The rule on the wire, if it is one that can be shown and stored. */
export function readRule(value: unknown): RuleParts | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { toolName, ruleContent } = value as Record<string, unknown>;
  if (typeof toolName !== "string" || !/^[A-Za-z][\w-]*$/.test(toolName)) return undefined;
  if (ruleContent !== undefined && typeof ruleContent !== "string") return undefined;
  const rule = { toolName, ...(ruleContent === undefined ? {} : { ruleContent }) };
  return ruleText(rule).length <= maxRuleLength ? rule : undefined;
}
