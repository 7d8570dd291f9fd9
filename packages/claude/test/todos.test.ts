import { expect, test } from "vitest";
import { fixture } from "./_fixtures.ts";

const lists = (name: string) =>
  fixture(`2.1.330/${name}`).flatMap(({ result }) =>
    result.events.flatMap((event) =>
      event.type === "holdfast.todos"
        ? [event.todos.map(({ id, content, status }) => `${id} ${content} ${status}`)]
        : [],
    ),
  );

test("TodoWrite: the list is what was written last", () => {
  expect(lists("todo-write")).toEqual([
    ["1 One in_progress", "2 Two pending"],
    ["1 One completed", "2 Two in_progress"],
  ]);
});

test("TaskCreate, TaskUpdate and TaskList: one list, in which each call changes what it names", () => {
  expect(lists("task-tools")).toEqual([
    ["1 One pending"],
    ["1 One pending", "2 Two pending"],
    ["1 One in_progress", "2 Two pending"],
    ["1 One! completed", "2 Two pending"],
    ["1 One! completed"],
  ]);
});
