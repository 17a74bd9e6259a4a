/** What the dialog of container services sends. */
import { expect, test } from "vitest";
import { bodyOfTyped, isStoppable, variablesOf, type Typed } from "@/features/services/services";

const TYPED: Typed = { name: "adder", template: "", image: "", port: "", command: "", health: "", variables: {}, more: "", maxCost: "" };

test("a template is sent with the variables that were typed, an image with what it needs", () => {
  expect(bodyOfTyped({ ...TYPED, template: "python-fn", image: "ignored", port: "80", variables: { FUNCTION: "1", WORK_S: " " }, more: "A=b=c\n\n" })).toEqual({ name: "adder", template: "python-fn", env_vars: { FUNCTION: "1", A: "b=c" } });
  expect(bodyOfTyped({ ...TYPED, image: "nginx:1", port: "80", health: "/health", maxCost: "2.5" })).toEqual({ name: "adder", image: "nginx:1", port: 80, health_path: "/health", env_vars: {}, max_cost_usd: 2.5 });
  expect(bodyOfTyped({ ...TYPED, image: "nginx:1", port: "eighty" })).toMatchObject({ port: "eighty" });
});

test("a line that is no variable is named", () => {
  expect(() => variablesOf("A=1\nnothing")).toThrow("“nothing” is no NAME=value.");
});

test("what may be billed can be stopped", () => {
  expect((["created", "deploying", "running", "sleeping", "exited", "crashed", "failed", "stopped"] as const).filter((status) => isStoppable({ status }))).toEqual(["created", "deploying", "running", "sleeping"]);
});
