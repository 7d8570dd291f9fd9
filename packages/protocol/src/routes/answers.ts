import { z } from "zod";

/** A page of a list. */
export const listOf = <S extends z.ZodType>(item: S) =>
  z.object({ data: z.array(item), next_page: z.string().nullable() });

/** What official clients get for something that was deleted. */
export const deleted = <T extends string>(type: T) => z.object({ id: z.string(), type: z.literal(type) });

export const ok = <S extends z.ZodType>(description: string, schema: S) =>
  ({ status: 200, description, schema }) as const;
